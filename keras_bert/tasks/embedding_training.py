"""Training and scoring of sentence embeddings on pairs, triplets and scored pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np

from keras_bert.analysis.report import Mistakes, Section
from keras_bert.errors import ConfigError, InputError, choose
from keras_bert.tasks import embedding_scores as scores
from keras_bert.tasks import vector_findings
from keras_bert.tasks.examples import Example, filled, iter_examples
from keras_bert.tasks.tables import Column, Table
from keras_bert.tasks.task import MEMORY, Task, is_file
from keras_bert.tasks.text_classification import numbers, token_counts
from keras_bert.tasks.trimming import predict

SCORED, UNSCORED = "cosent", "multiple_negatives"  # losses by default
# Columns by default, the last one if there is one: by name, or by number in a file
# whose first row has no names.
COLUMNS = {True: ("anchor", "positive", "negative"), False: (1, 2, 3)}


class EmbeddingTask(Task):
    """What tasks of sentence embeddings share: their data, training and scores.

    Data is a table whose rows have two texts or more, or a list of tuples of strings.
    Rows are pairs of texts that belong together, perhaps followed by texts that do not
    belong to the first; or pairs with a label, how similar they are.
    """

    head = "encoder"
    recipe: ClassVar[Mapping[str, Any]] = {
        "batch_size": 64,
        "learning_rate": 2e-5,
        "epochs": 1,
    }
    # Of what is learned, see `fit`; None takes the default.
    settings: ClassVar[Mapping[str, Any]] = dict.fromkeys(
        (
            *("loss", "dimensions", "weights", "score_range"),
            *("scale", "symmetric", "distance", "margin"),
        )
    )
    reading = (
        *("text", "text_pair", "negatives", "label"),
        *("format", "header", "delimiter", "encoding"),
    )
    scored: ClassVar[bool] = False  # whether labels are needed
    joins_pairs = False

    @classmethod
    def fits(cls, model: Any) -> bool:
        from keras_bert.models import SentenceEncoder

        return isinstance(model, SentenceEncoder)

    def missing_parts(self) -> list[str]:
        return []  # a pooler that the checkpoint does not have is not used

    def make_model(self, fields: Mapping[str, Any]) -> Any:
        from keras_bert.models import SentenceEncoder

        options = {"dtype": self.dtype, "seed": self.seed, **fields}
        return SentenceEncoder.from_pretrained(self.checkpoint, **options)

    # === Data ===

    def rows(
        self,
        source: Any,
        labels: Any = None,
        *,
        labeled: bool = True,
        text: Column | None = None,
        text_pair: Column | None = None,
        negatives: Sequence[Column] | None = None,
        label: Column | None = None,
        **options: Any,
    ) -> list[Example]:
        if not is_file(source):
            return groups_in_memory(source, labels)
        table = Table(source, **options)
        if self.scored:
            first, second, others = "text", "text_pair", negatives
            label = "label" if label is None else label
        else:
            first, second, third = COLUMNS[table.header]
            unnamed = text is text_pair is negatives is label is None
            others = [third] if unnamed else negatives
        wanted = {"text": text or first, "text_pair": text_pair or second}
        wanted |= {"label": label} if label is not None and labeled else {}
        rows = list(iter_examples(table, wanted))
        further = [_column(table, x, optional=negatives is None) for x in others or ()]
        further = [column for column in further if column is not None]
        return [_joined(table, *row) for row in zip(rows, *further, strict=True)]

    def filled(self, rows: list, name: str, *, labeled: bool = True) -> list[Example]:
        items = filled(rows, name, labeled=labeled and self.scored)
        self.check_items(items, name)
        return items

    def check_items(self, items: list[Example], name: str) -> None:
        widths = [len(texts_of(item)) for item in items]
        for item, width in zip(items, widths, strict=True):
            if width < 2 or width != widths[0]:
                raise InputError(
                    f"Expected {max(widths[0], 2)} texts in every row of {name}. "
                    f"Received: {width} in row {item.row}."
                )
        labels = [item.label is not None for item in items]
        if any(labels) and (not all(labels) or widths[0] != 2):
            raise InputError(
                f"Expected two texts in every row of {name} that has a label, how "
                f"similar they are. Received: {widths[0]} texts, and labels in "
                f"{sum(labels)} of {len(labels)} rows."
            )

    def describe(self, items: list[Example]) -> list[str]:
        return [f"{len(items):,} rows of {_kind(items)}"]

    def encode(
        self, items: list[Example], *, labeled: bool = True, name: str = MEMORY
    ) -> tuple[dict[str, np.ndarray], Any]:
        rows = [texts_of(item) for item in items]
        features = self.features([text for texts in rows for text in texts])
        shape = (len(rows), len(rows[0]))
        features = {k: x.reshape(*shape, -1) for k, x in features.items()}
        if not labeled:
            return features, None
        if items[0].label is None:
            return features, text_numbers(rows)
        return features, self._scaled(items, name)

    def features(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Returns the inputs of the model for texts, `(texts, seq)` each."""
        return self.tokenizer.encode_batch(list(texts), max_length=self.row_length)

    # === Training ===

    _loss: Any = None
    _range: Sequence[float] | None = None

    def fit(self, data: Any, labels: Any = None, **settings: Any) -> Self:
        """Trains on rows of texts.

        Args:
            data: a file's path; or a list of tuples of strings, each a text, one that
                belongs to it, and perhaps others that do not; or of pairs with labels.
            labels: of pairs in memory, how similar they are.
            **settings: those of `Task.fit`; and `loss`, a name of
                `keras_bert.models.embedding_losses.LOSSES`, by default "cosent" for
                rows with labels and "multiple_negatives" for others; arguments of that
                loss (`scale`, `symmetric`, `distance`, `margin`); `dimensions` to
                which vectors may be cut afterwards, and their `weights`; `score_range`,
                the least and the greatest label, for "cosine".

        Returns:
            The task.

        Raises:
            InputError: the data cannot be used; the message names the row.
            ConfigError: a setting is out of range, or does not fit the data.

        Example:
            >>> embedder.fit("pairs.csv", epochs=1)  # doctest: +SKIP
            >>> embedder.fit(pairs, scores, loss="cosent", dimensions=[384, 64])
            ... # doctest: +SKIP
        """
        own = {k: settings.pop(k) for k in self.settings if k in settings}
        self.options |= own
        before = self.max_length
        try:
            return super().fit(data, labels, **settings)
        finally:
            self.max_length = before  # of training, shorter than vectors need

    def run_on(
        self,
        items: list[Example],
        dev: list[Example] | None,
        recipe: Any,
        directory: Any,
        **options: Any,
    ) -> Any:
        objective = {k: x for k, x in self.options.items() if x is not None}
        self._loss = self._loss_for(items, objective)
        if dev is not None:
            self._check_same_kind(items, dev, options.get("names", (MEMORY, MEMORY)))
        microbatches = recipe.gradient_accumulation_steps
        if self._loss.compares_rows and microbatches > 1:
            raise ConfigError(
                f"Expected gradient_accumulation_steps of 1 for {self._loss.name}, "
                "which compares the rows of a batch: microbatches would be compared "
                f"alone. Received: {microbatches}. To save memory, pass "
                "activation_checkpointing, or a smaller batch."
            )
        options = {"objective": objective, **options}
        limits = self.config.max_length, self.tokenizer.model_max_length
        self.max_length = min(self.max_length or recipe.max_length, *limits)
        return super().run_on(items, dev, recipe, directory, **options)

    def learner(self) -> Any:
        from keras_bert.models.text_groups import TextGroups

        return TextGroups(self.model, self._loss)

    def _check_same_kind(
        self, items: list[Example], dev: list[Example], names: tuple[str, str]
    ) -> None:
        if (received := _kind(dev)) != (expected := _kind(items)):
            raise InputError(
                f"Expected rows of {expected} in {names[1]}, as in {names[0]}. "
                f"Received: {received}."
            )

    def _loss_for(self, items: list[Example], options: Mapping[str, Any]) -> Any:
        from keras_bert.models.embedding_losses import new_loss

        scored, texts = items[0].label is not None, len(texts_of(items[0]))
        options = {"loss": SCORED if scored else UNSCORED, **options}
        name, self._range = options.pop("loss"), options.pop("score_range", None)
        loss = new_loss(name, **options)
        least, most = loss.texts
        if loss.scored != scored:
            needed = "a label in every row (label=, --label)" if loss.scored else "none"
            raise ConfigError(
                f"Expected {needed} for the loss {name}. Received: rows "
                f"{'with' if scored else 'without'} labels."
            )
        if not least <= texts <= (most or texts):
            raise ConfigError(
                f"Expected {least}{'' if most else ' or more'} texts in a row for the "
                f"loss {name}. Received: {texts}. A text that does not belong to the "
                "first is another column (negatives=[…], --negative)."
            )
        return loss

    def _scaled(self, items: list[Example], name: str) -> np.ndarray:
        """Returns labels as the loss takes them."""
        labels = numbers(items, name)
        if self._range is not None:
            low, high = _limits(self._range)
            labels = (labels - low) / (high - low)
        valid = self._loss is None or self._loss.valid(labels, None)
        if (wrong := np.flatnonzero(~np.broadcast_to(valid, labels.shape))).size:
            raise InputError(
                f"Expected labels {self._loss.takes} in {name}. Received: "
                f"{labels[wrong[0]]:g} in row {items[wrong[0]].row}. Pass the least "
                "and the greatest, such as score_range=(0, 5) (--score-range 0 5)."
            )
        return labels.astype("float32")

    # === Scores ===

    def outputs(self, items: list[Example], *, batch_size: int = 32) -> np.ndarray:
        """Returns vectors of all texts, `(rows, texts, dim)`."""
        texts, text_of = _distinct([texts_of(item) for item in items])
        return self.vectors(texts, batch_size=batch_size)[text_of]

    def vectors(self, texts: Sequence[str], *, batch_size: int = 32) -> np.ndarray:
        """Returns a vector of each text, float32 `(texts, dim)`."""
        return predict(self.model, self.features(texts), batch_size)["embeddings"]

    def score(
        self,
        items: list[Example],
        outputs: np.ndarray,
        metrics: Sequence[str] | None = None,
    ) -> dict[str, float]:
        """Returns the scores of vectors.

        Args:
            items: rows of texts. Pairs with labels are scored by correlation,
                `pearson` and `spearman` of the cosine, and with "spearman_euclidean"
                and the like of other similarities; if labels are 0 and 1, also by
                "average_precision", "accuracy" and "f1". Others by retrieval: each
                first text is to find the second ones that belong to it among all.
            outputs: vectors `(rows, texts, dim)`.
            metrics: their names, for retrieval such as "ndcg@10"; None takes the usual
                ones.
        """
        if items[0].label is None:
            return retrieval(items, outputs, metrics)
        labels = numbers(items, MEMORY)
        return similarity(outputs, labels, metrics or ("pearson", "spearman"))

    def mistakes(self, items: list[Example], outputs: np.ndarray) -> Mistakes:
        places = [item.row for item in items]
        return vector_findings.mistakes(outputs, *self._texts(items), places)

    def sections(self, items: list[Example], outputs: np.ndarray) -> list[Section]:
        return vector_findings.sections(outputs, *self._texts(items))

    def lengths(self, items: list[Example]) -> np.ndarray:
        texts = [Example(text) for item in items for text in texts_of(item)]
        counts = token_counts(texts, self.tokenizer)
        return counts.reshape(len(items), -1).max(1)

    def _texts(self, items: list[Example]) -> tuple[list[list[str]], Any]:
        scored = items[0].label is not None
        labels = numbers(items, MEMORY) if scored else None
        return [texts_of(item) for item in items], labels


def _kind(items: list[Example]) -> str:
    """Returns what rows are, in words."""
    scored = "with" if items[0].label is not None else "without"
    return f"{len(texts_of(items[0]))} texts {scored} labels"


def _limits(score_range: Any) -> tuple[float, float]:
    """Returns the least and the greatest label.

    Raises:
        ConfigError: there are not two numbers, the first of them smaller.
    """
    found = score_range if isinstance(score_range, list | tuple) else [score_range]
    numbers = all(isinstance(x, Real) for x in found)
    if len(found) != 2 or not numbers or not found[0] < found[1]:
        raise ConfigError(
            "Expected a score_range of the least and the greatest label, such as "
            f"(0, 5). Received: {score_range!r}."
        )
    return found[0], found[1]


# === Scores ===


def similarity(
    vectors: np.ndarray, labels: np.ndarray, metrics: Sequence[str]
) -> dict[str, float]:
    """Returns scores of pairs by name, see `EmbeddingTask.score`.

    Args:
        vectors: `(pairs, 2, dim)`.
        labels: `(pairs,)`.
        metrics: their names.
    """
    first, second = vectors[:, 0], vectors[:, 1]
    found = scores.similarity_scores(first, second, labels)
    known = {"pearson": found["pearson_cosine"], "spearman": found["spearman_cosine"]}
    known |= found
    if set(metrics) - known.keys():
        cosines = scores.SIMILARITIES["cosine"](first, second)
        known |= scores.pair_scores(cosines, labels)
    return {name: known[choose("metric", name, known)] for name in metrics}


def retrieval(
    items: Sequence[Example], vectors: np.ndarray, metrics: Sequence[str] | None = None
) -> dict[str, float]:
    """Returns scores of finding second texts by first ones.

    All texts but the first ones are searched, except one that equals the first.

    Args:
        items: rows of texts.
        vectors: `(rows, texts, dim)`.
        metrics: names, such as "ndcg@10"; None takes the usual ones.
    """
    rows = [texts_of(item) for item in items]
    queries, query_of = _distinct([row[:1] for row in rows])
    texts, text_of = _distinct([row[1:] for row in rows])
    width = vectors.shape[-1]
    first, others = (np.zeros((len(x), width), "float32") for x in (queries, texts))
    first[query_of], others[text_of] = vectors[:, :1], vectors[:, 1:]
    relevant: list[set[int]] = [set() for _ in queries]
    for (query,), (right, *_) in zip(query_of, text_of, strict=True):
        relevant[query].add(int(right))
    metrics = metrics or scores.RETRIEVAL
    depth = max(map(scores.cutoff, metrics)) + 1
    found = [
        [text for text in ranking if texts[text] != query or text in right]
        for ranking, query, right in zip(
            scores.rankings(first, others, depth), queries, relevant, strict=True
        )
    ]
    return scores.retrieval_scores(found, relevant, metrics)


def _distinct(rows: Sequence[Sequence[str]]) -> tuple[list[str], np.ndarray]:
    """Returns distinct texts, and which of them each text is."""
    return list(dict.fromkeys(t for row in rows for t in row)), text_numbers(rows)


# === Rows ===


def texts_of(item: Example) -> list[str]:
    """Returns all texts of a row.

    Example:
        >>> texts_of(Example("a", ["b", "c"]))
        ['a', 'b', 'c']
    """
    others = item.text_pair
    others = [others] if isinstance(others, str) else [*(others or ())]
    return [item.text, *others]


def text_numbers(rows: Sequence[Sequence[str]]) -> np.ndarray:
    """Numbers texts by their first occurrence, int32 of the shape of `rows`.

    Example:
        >>> text_numbers([["a", "b"], ["a", "c"]]).tolist()
        [[0, 1], [0, 2]]
    """
    number_of: dict[str, int] = {}
    found = [number_of.setdefault(t, len(number_of)) for row in rows for t in row]
    return np.array(found, "int32").reshape(len(rows), -1)


def groups_in_memory(rows: Any, labels: Any = None) -> list[Example]:
    """Returns examples of tuples of strings.

    Args:
        rows: `Example`s, or tuples of two strings or more.
        labels: a number for each, or None.

    Raises:
        InputError: a row is something else, or the numbers of rows and labels differ.

    Example:
        >>> groups_in_memory([("a", "b")], [0.5])
        [Example(text='a', text_pair=['b'], label='0.5')]
    """
    rows = list(rows)
    if rows and all(isinstance(row, Example) for row in rows):
        return rows
    if labels is not None and len(labels) != len(rows):
        raise InputError(
            f"Expected as many labels as rows, {len(rows)}. Received: {len(labels)}."
        )
    for number, row in enumerate(rows, 1):
        if isinstance(row, str) or not all(isinstance(text, str) for text in row):
            raise InputError(
                "Expected rows of two strings or more. Received: "
                f"{str(row)[:80]!r} in row {number}."
            )
    names = [None] * len(rows) if labels is None else [str(x) for x in labels]
    return [
        Example(row[0], list(row[1:]), label, row=number)
        for number, (row, label) in enumerate(zip(rows, names, strict=True), 1)
    ]


def _column(table: Table, column: Column, *, optional: bool) -> list[Example] | None:
    """Returns the texts of a column; None if it is optional and not there."""
    optionals = ("text",) if optional else ()
    found = list(iter_examples(table, {"text": column}, optionals))
    present = any(row.text is not None for row in found)
    return found if present or not optional else None


def _joined(table: Table, row: Example, *others: Example) -> Example:
    """Returns a row with its further texts.

    Raises:
        InputError: one of them is blank, and the row is not.
    """
    if not others:
        return row
    texts = [other.text for other in others]
    if (row.text is None) != (None in texts) or len({*map(bool, texts)}) > 1:
        raise InputError(
            f"Expected {2 + len(others)} texts in every row of {table.name}. Received: "
            f"a blank one in row {row.row}. Fill it in, remove the row, or name the "
            "columns to read (text=, text_pair=, --text, --text-pair)."
        )
    return replace(row, text_pair=[row.text_pair, *texts])
