"""The task of choosing among alternatives."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from keras_bert.analysis.report import Mistake, Mistakes, Section
from keras_bert.atomic_files import new_file
from keras_bert.errors import InputError, choose
from keras_bert.strings import is_text
from keras_bert.tasks.examples import Example, filled
from keras_bert.tasks.findings import MOST_MISTAKES, reliability, softmax
from keras_bert.tasks.tables import Column, Row, Table
from keras_bert.tasks.task import MEMORY, Task, is_file

# The columns of SWAG: a sentence, the beginning of the next, and its endings.
SWAG = {"text": "sent1", "beginning": "sent2"}
ENDINGS = ("ending0", "ending1", "ending2", "ending3")


class MultipleChoice(Task):
    """Chooses the alternative that goes best with a text.

    Data is a `.csv` or `.tsv` file with the columns of SWAG: `sent1`, `sent2`,
    `ending0` to `ending3` and `label`; JSON lines or Parquet with `text`, a list of
    `choices`, and `label`; a list of such dicts in memory; or a list of pairs of a text
    and its choices, with a list of labels. A label is the number of the right choice,
    from 0. All texts have equally many choices.

    Example:
        >>> task = MultipleChoice.from_pretrained("ckpt/")  # doctest: +SKIP
        >>> task.fit("train.csv", dev="val.csv", epochs=3)  # doctest: +SKIP
        >>> item = {"text": "It rains.", "choices": ["She dries.", "She gets wet."]}
        >>> task.predict([item])[0]["answer"]  # doctest: +SKIP
        'She gets wet.'
    """

    name = "multiple-choice"
    head = "multiple_choice"
    recipe: ClassVar[Mapping[str, Any]] = {"batch_size": 16}
    reading = (
        *("text", "text_pair", "label", "id"),
        *("format", "header", "delimiter", "encoding"),
    )

    # === Data ===

    def rows(
        self, source: Any, labels: Any = None, *, labeled: bool = True, **reading: Any
    ) -> list[Example]:
        if not is_file(source):
            return _in_memory(source, labels, labeled=labeled)
        return read_choices(source, labeled=labeled, **reading)

    def filled(self, rows: list, name: str, *, labeled: bool = True) -> list[Example]:
        found = filled(rows, name, labeled=labeled)
        count = len(found[0].text_pair)
        for item in found:
            at = f"{_place(item)} of {name}"
            if len(item.text_pair) != count:
                raise InputError(
                    f"Expected {count} choices in each row, as in the first. Received: "
                    f"{len(item.text_pair)} in {at}."
                )
            if labeled:
                _check_label(item.label, count, at)
        return found

    def stratum(self, item: Example) -> Any:
        return item.label

    # === Model ===

    def encode(
        self, items: list[Example], *, labeled: bool = True, name: str = MEMORY
    ) -> tuple[dict[str, np.ndarray], Any]:
        """Returns features `(rows, choices, seq)` and labels `(rows,)`, or None."""
        texts = [item.text for item in items for _ in item.text_pair]
        pairs = [choice for item in items for choice in item.text_pair]
        batch = self.tokenizer.encode_batch(
            texts, text_pairs=pairs, max_length=self.max_length
        )
        choices = len(items[0].text_pair)
        features = {
            name: ids.reshape(len(items), choices, -1) for name, ids in batch.items()
        }
        return features, self._answers(items) if labeled else None

    def _answers(self, items: list[Example]) -> np.ndarray:
        return np.array([int(item.label) for item in items], "int32")

    def score(
        self,
        items: list[Example],
        outputs: np.ndarray,
        metrics: Sequence[str] | None = None,
    ) -> dict[str, float]:
        right = outputs.argmax(-1) == self._answers(items)
        scores = {"accuracy": float(right.mean())}
        return {
            name: scores[choose("metric", name, scores)] for name in metrics or scores
        }

    def mistakes(self, items: list[Example], outputs: np.ndarray) -> Mistakes:
        shares, answers = softmax(outputs), self._answers(items)
        chosen = shares.argmax(-1)
        found = [
            Mistake(x.text, None, x.text_pair[a], x.text_pair[c], float(s[c]), x.row)
            for x, a, c, s in zip(items, answers, chosen, shares, strict=True)
            if a != c
        ]
        found.sort(key=lambda mistake: -mistake.value)
        return Mistakes(found[:MOST_MISTAKES], "probability")

    def sections(self, items: list[Example], outputs: np.ndarray) -> list[Section]:
        shares, answers = softmax(outputs), self._answers(items)
        right = shares.argmax(-1) == answers
        return [Section("Reliability", reliability(shares.max(-1), right, "accuracy"))]

    def write_predictions(
        self,
        path: str | Path,
        rows: list[Example],
        outputs: np.ndarray,
        *,
        overwrite: bool = False,
    ) -> None:
        """Writes a line of JSON for every row, with the chosen `prediction`.

        Args:
            path: the `.jsonl` file.
            rows: the rows; blank ones get the prediction null.
            outputs: logits of those with a text, `(rows, choices)`.
            overwrite: replace an existing file.
        """
        found = iter(softmax(outputs))
        with new_file(path, overwrite) as new, new.open("w", encoding="utf-8") as file:
            for row in rows:
                line = {**row.place, "prediction": None}
                if row.text is not None:
                    line |= {"text": row.text, "choices": list(row.text_pair)}
                    line |= {} if row.label is None else {"label": int(row.label)}
                    shares = next(found)
                    line["prediction"] = int(shares.argmax())
                    line["probabilities"] = shares.round(6).tolist()
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def predict(
        self,
        texts: Any,
        text_pairs: Sequence[Sequence[str]] | None = None,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """Chooses as the exported model does.

        Args:
            texts: dicts with `text` and `choices`, a file of them, or texts.
            text_pairs: the choices of each text, if they are not in the dicts.
            **options: see `Task.predict`.

        Returns:
            For each text the number of the `choice`, its text as `answer`, its
            probability as `score`, and `logits` and `probabilities` of all.
        """
        if text_pairs is None:
            items = self.read(texts, labeled=False)
        else:
            if len(texts) != len(text_pairs):
                raise InputError(
                    f"Expected the choices of each text, {len(texts)} lists. "
                    f"Received: {len(text_pairs)}."
                )
            items = _in_memory(zip(texts, text_pairs, strict=True), labeled=False)
        pairs = [list(item.text_pair) for item in items]
        answers = super().predict([item.text for item in items], pairs, **options)
        return [
            {
                **answer,
                "answer": choices[answer["choice"]],
                "score": max(answer["probabilities"]),
            }
            for answer, choices in zip(answers, pairs, strict=True)
        ]


# === Rows ===


def read_choices(
    path: str | Path,
    *,
    labeled: bool = True,
    text: Column | None = None,
    text_pair: Column | None = None,
    label: Column = "label",
    id: Column | None = None,
    **options: Any,
) -> list[Example]:
    """Reads a file of texts with choices, blank rows too.

    Args:
        path: the file, see `MultipleChoice`.
        labeled: whether labels are read.
        text, text_pair, label, id: columns of the text, the list of its choices, the
            number of the right one, and an id; None takes the names of SWAG, or `text`
            and `choices`.
        **options: see `Table`.
    """
    table = Table(path, **options)
    columns = {"label": label} if labeled else {}
    columns |= {} if id is None else {"id": id}
    if text_pair is None and table.kind in ("csv", "tsv"):
        columns |= SWAG | ({} if text is None else {"text": text})
        columns |= {name: name for name in ENDINGS}
    else:
        columns |= {"text": text or "text", "choices": text_pair or "choices"}
    return [_example(row, table.name) for row in table.rows(columns)]


def _example(row: Row, name: str) -> Example:
    cells = row.cells
    if all(value is None for key, value in cells.items() if key != "id"):
        return Example(None, row=row.number, id=cells.get("id"))
    choices = cells["choices"] if "choices" in cells else _endings(cells)
    return _checked(
        cells["text"],
        choices,
        cells.get("label"),
        f"{row.place} of {name}",
        {"row": row.number, "id": cells.get("id")},
    )


def _endings(cells: Mapping[str, Any]) -> list[Any]:
    beginning = f"{cells['beginning']} " if cells["beginning"] else ""
    endings = [cells[name] for name in ENDINGS]
    return [ending and f"{beginning}{ending}" for ending in endings]


def _in_memory(source: Any, labels: Any = None, *, labeled: bool) -> list[Example]:
    items = list(source)
    labels = None if labels is None else list(labels)
    if labels is not None and len(labels) != len(items):
        raise InputError(
            f"Expected as many labels as texts, {len(items)}. Received: {len(labels)}."
        )
    found = []
    for number, item in enumerate(items, 1):
        at = f"row {number} of {MEMORY}"
        text, choices, label = _parts(item, at)
        label = label if labels is None else labels[number - 1]
        kept = label if labeled else None
        found.append(_checked(text, choices, kept, at, {"row": number}))
    return found


def _parts(item: Any, at: str) -> tuple[Any, Any, Any]:
    if isinstance(item, Example):
        return item.text, item.text_pair, item.label
    if isinstance(item, Mapping):
        return item.get("text"), item.get("choices"), item.get("label")
    if isinstance(item, tuple | list) and len(item) == 2:
        return *item, None
    raise InputError(
        "Expected dicts with text, choices and label, or pairs of a text and its "
        f"choices. Received: {str(item)[:40]!r} as {at}."
    )


def _checked(
    text: Any, choices: Any, label: Any, at: str, place: Mapping[str, Any]
) -> Example:
    if not is_text(text):
        raise InputError(f"Expected a text in {at}. Received: {str(text)[:40]!r}.")
    listed = isinstance(choices, list | tuple | np.ndarray) and len(choices) > 1
    if not listed or not all(map(is_text, choices)):
        raise InputError(
            f"Expected a list of choices in {at}, two strings or more. Received: "
            f"{str(choices)[:80]}."
        )
    name = None if label is None else str(label).strip()
    return Example(text, tuple(choices), name, **place)


def _check_label(label: str, count: int, at: str) -> None:
    whole = label.isascii() and label.isdecimal()
    if not whole or int(label) >= count:
        raise InputError(
            f"Expected the number of a choice, 0 to {count - 1}, as the label of {at}. "
            f"Received: {label!r}."
        )


def _place(item: Example) -> str:
    return f"row {item.row}"
