"""Tags of words: names of persons and places, parts of speech, Chinese words."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from keras_bert.analysis.report import Mistakes, Section
from keras_bert.errors import InputError, choose
from keras_bert.strings import is_text
from keras_bert.tag_schemes import OUTSIDE, Entity, TagSet
from keras_bert.tasks import entity_findings
from keras_bert.tasks.alignment import (
    CharacterSpan,
    WordTokens,
    encode_words,
    split_words,
    words_at,
)
from keras_bert.tasks.conll_files import (
    READING,
    Mark,
    Sentence,
    read_sentences,
    write_sentences,
)
from keras_bert.tasks.entity_scores import score_sentences
from keras_bert.tasks.examples import Example
from keras_bert.tasks.labels import label_names
from keras_bert.tasks.task import MEMORY, Task, is_file

log = logging.getLogger(__name__)
DOC_STRIDE = 128  # at most, as of an exported model


class TokenClassification(Task):
    """Tags the words of a sentence, and finds the entities that the tags tell.

    Data is a file of columns or JSON lines, see
    `keras_bert.tasks.conll_files.read_sentences`; or in memory a list of `Sentence`s,
    or lists of words and, as `labels`, lists of tags. Any tagging scheme is taken as it
    is. A word is tagged by its first token; a sentence that is too long is read in
    windows that overlap, each word in the one that shows most of its context.

    With `crf=True` the model learns with a conditional random field which tags follow
    each other, and the tags of a sentence are the best sequence.

    Example:
        >>> task = TokenClassification.from_pretrained("ckpt/")  # doctest: +SKIP
        >>> task.fit("train.conll", dev="dev.conll")  # doctest: +SKIP
        >>> task.predict(["Ada is in Rome"])[0]["entities"][0]  # doctest: +SKIP
        {'entity': 'PER', 'text': 'Ada', 'start': 0, 'end': 3, 'score': 0.99}
    """

    name = "ner"
    head = "token_classification"
    token_labels = True
    reading = READING
    settings: ClassVar[dict[str, Any]] = {
        "doc_stride": None,  # that of an export
        "crf": False,
    }

    # === Data ===

    def rows(
        self, source: Any, labels: Any = None, *, labeled: bool = True, **reading: Any
    ) -> list[Sentence]:
        for key in reading:
            choose(f"option of data for {self.name}", key, self.reading)
        if is_file(source):
            return list(read_sentences(source, labeled=labeled, **reading))
        return sentences_in_memory(source, labels, labeled=labeled)

    def filled(
        self, rows: list[Sentence], name: str, *, labeled: bool = True
    ) -> list[Sentence]:
        if not rows:
            raise InputError(f"Expected sentences in {name}. Received: none.")
        items = [self._with_words(row) for row in rows]
        _warn_of_marks(items, name)
        return items

    def _with_words(self, row: Sentence) -> Sentence:
        if row.text is None or row.spans:
            return row
        spans = tuple(split_words(row.text, self.tokenizer))
        words = tuple(row.text[start:end] for start, end in spans)
        return replace(row, words=words, spans=spans)

    # === Labels ===

    def config_fields(self, items: list[Sentence], name: str) -> dict[str, Any]:
        self.check_items(items, name)
        found = [Example(None, label=tag) for tag in tags_in(items)]
        classes = self.classes_to_train(found, name)
        return {
            "id2label": dict(enumerate(classes)),
            "extra": {"crf": True} if self.options["crf"] else {},
        }

    @property
    def labels(self) -> list[str]:
        """The tags in the order of their ids."""
        training = self._model is None and self.given_labels
        return self.given_labels if training else self._named

    @property
    def _named(self) -> list[str]:
        return label_names(self.config, self.given_labels) or []

    @property
    def tags(self) -> TagSet:
        """The scheme of the tags, and what each of them means."""
        return TagSet(self.labels)

    def describe(self, items: list[Sentence]) -> list[str]:
        words = sum(len(item.words) for item in items)
        scheme = TagSet(tags_in(items), [self._tags(item) for item in items])
        return [
            f"{len(items):,} sentences of {words:,} words",
            f"{len(self.labels)} tags in {scheme}",
        ]

    def check_items(self, items: list[Sentence], name: str) -> None:
        sequences = [item.tags or () for item in items]
        found = TagSet(tags_in(items), sequences)
        if count := found.irregular(sequences):
            log.warning(
                "%s: %d entities are tagged otherwise than %s tags them; they are read "
                "as conlleval reads them",
                *(name or "held-out data", count, found),
            )

    # === Rows ===

    def encode(
        self, items: list[Sentence], *, labeled: bool = True, name: str = MEMORY
    ) -> tuple[dict[str, np.ndarray], Any]:
        features, words = self._encode_words(items)
        if not labeled or any(item.tags is item.marks is None for item in items):
            return features, None
        ids = self._ids(items, name)
        chosen = [ids[s][w] for s, w in zip(words.sentences, words.words, strict=True)]
        labels = np.array(chosen, np.int32)
        return features, words.spread(labels, features["input_ids"].shape)

    @property
    def _windows(self) -> dict[str, int]:
        """The length of a row, and by how much those of a long sentence overlap."""
        limit = self.row_length
        stride = self.options["doc_stride"] or max(min(DOC_STRIDE, limit // 4), 1)
        return {"max_length": limit, "doc_stride": stride}

    def _encode_words(
        self, items: list[Sentence]
    ) -> tuple[dict[str, np.ndarray], WordTokens]:
        windows = self._windows
        return encode_words(
            [item.words for item in items],
            self.tokenizer,
            max_length=windows["max_length"],
            stride=windows["doc_stride"],
        )

    def _ids(self, items: list[Sentence], name: str) -> list[list[int]]:
        """Returns the labels of all words, by sentence."""
        id_of = {label: number for number, label in enumerate(self.labels)}
        found = []
        for item in items:
            tags = self._tags(item)
            unknown = [place for place, tag in enumerate(tags) if tag not in id_of]
            if unknown:
                line = f" in line {item.lines[unknown[0]]}" if item.lines else ""
                raise InputError(
                    f"Expected tags among {', '.join(self.labels)}. Received: "
                    f"{tags[unknown[0]]!r}{line} of {name}. Train on data that has it, "
                    "or name all tags (labels=, --labels)."
                )
            found.append([id_of[tag] for tag in tags])
        return found

    def _tags(self, item: Sentence) -> Sequence[str]:
        """Returns the tags of a sentence; those of a text, in the model's scheme."""
        if item.marks is None:
            return item.tags or ()
        return self.tags.tags(entities_of(item), len(item.words))

    # === Answers ===

    def score(
        self,
        items: list[Sentence],
        outputs: Any,
        metrics: Sequence[str] | None = None,
    ) -> dict[str, float]:
        scores = score_sentences(items, self.tagged(items, outputs))
        return {choose("metric", m, scores): scores[m] for m in metrics or scores}

    def mistakes(self, items: list[Sentence], outputs: Any) -> Mistakes:
        return entity_findings.mistakes(items, self.tagged(items, outputs))

    def sections(self, items: list[Sentence], outputs: Any) -> list[Section]:
        return entity_findings.sections(items, self.tagged(items, outputs))

    def tagged(self, items: list[Sentence], outputs: Any) -> list[Sentence]:
        """Returns sentences with the tags of the model.

        Args:
            items: the sentences.
            outputs: of the model, `(rows, seq, labels)`, see `outputs`.
        """
        _, words = self._encode_words(items)
        best = _best(outputs[words.rows, words.columns], words.sentences)
        ends = words.sentences.searchsorted(np.arange(len(items)), "right")[:-1]
        parts = (np.split(values, ends) for values in (words.words, best))
        tags, labels = self.tags, self.labels
        return [
            _tagged(item, tags, places.tolist(), [labels[number] for number in ids])
            for item, places, ids in zip(items, *parts, strict=True)
        ]

    def write_predictions(
        self,
        path: str | Path,
        rows: list[Sentence],
        outputs: Any,
        *,
        overwrite: bool = False,
    ) -> None:
        """Writes the words with the tags of the model, see `write_sentences`."""
        items = [self._with_words(row) for row in rows]
        write_sentences(path, self.tagged(items, outputs), overwrite=overwrite)

    def predict(
        self, texts: Sequence[Any], text_pairs: None = None, **options: Any
    ) -> list[dict[str, Any]]:
        """Returns the entities of texts, or the tags of words.

        Args:
            texts: strings; or lists of words.
            text_pairs: none.
            **options: see `Task.predict`.

        Returns:
            Of each text `entities`, each with `entity`, its type, `text`, `start`,
            `end` and `score`; of each list of words its `words`, their `tags` and the
            `entities`, with the indices of the `first` and the `last` word.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        if texts and not any(isinstance(text, str) for text in texts):
            return self._answer_words(list(texts), **options)
        options = {"labels": self.labels, **self._windows, **options}
        return [_entities(a) for a in super().predict(texts, text_pairs, **options)]

    def export(self, path: str | Path, **options: Any) -> Path:
        return super().export(path, **self._windows | options)

    def _answer_words(
        self, sentences: list[Any], *, batch_size: int = 32
    ) -> list[dict[str, Any]]:
        items = self.read(sentences, labeled=False)
        found = self.tagged(items, self.outputs(items, batch_size=batch_size))
        return [
            {
                "words": list(item.words),
                "tags": list(item.tags or ()),
                "entities": [
                    {"entity": kind, "first": first, "last": last}
                    for kind, first, last in self.tags.entities(item.tags or ())
                ],
            }
            for item in found
        ]


def _best(logits: np.ndarray, sentences: np.ndarray) -> np.ndarray:
    """Returns the labels of words; of a conditional random field, by sentence.

    Args:
        logits: `(words, labels)`, or `(words, labels + 1, labels)`.
        sentences: of the words, ascending, `(words,)`.
    """
    if logits.ndim == 2 or not len(logits):
        return logits.argmax(-1)
    from keras import ops

    from keras_bert.layers.crf import best_paths

    _, counts = np.unique(sentences, return_counts=True)
    known = np.arange(counts.max()) < counts[:, None]  # (sentences, words)
    paths = np.zeros((*known.shape, *logits.shape[1:]), logits.dtype)
    paths[known] = logits
    return ops.convert_to_numpy(best_paths(paths, known))[known]


def _tagged(
    item: Sentence, tags: TagSet, places: Sequence[int], known: Sequence[str]
) -> Sentence:
    """Returns a sentence with the tags of some of its words, and what these tell."""
    filled = tuple(tags.filled(known, places, len(item.words)))
    marks = None
    if item.text is not None:
        marks = tuple(mark_of(entity, item.spans) for entity in tags.entities(filled))
    return replace(item, tags=filled, marks=marks)


def _entities(answer: dict[str, Any]) -> dict[str, Any]:
    names = ("entity", "text", "start", "end", "score")
    columns = [list(answer[name]) for name in names]
    rows = zip(*columns, strict=True)
    return {"entities": [dict(zip(names, row, strict=True)) for row in rows]}


# === Entities in texts ===


def mark_of(entity: Entity, spans: Sequence[CharacterSpan]) -> Mark:
    """Returns an entity of words as characters of their text."""
    return Mark(entity.type, spans[entity.first].start, spans[entity.last].end)


def entities_of(item: Sentence) -> list[Entity]:
    """Returns the marks of a text as entities of its words, those that have some."""
    found = [
        (mark.type, words_at(mark.start, mark.end, item.spans))
        for mark in item.marks or ()
    ]
    return [Entity(kind, *places) for kind, places in found if places]


def tags_in(items: Iterable[Sentence]) -> list[str]:
    """Returns the tags of sentences, sorted; entities in texts have those of IOB2."""
    found: set[str] = set()
    for item in items:
        found.update(item.tags or ())
        if item.marks is not None:
            types = {mark.type for mark in item.marks}
            found |= {OUTSIDE, *(f"{x}-{kind}" for kind in types for x in "BI")}
    return sorted(found)


def _warn_of_marks(items: Iterable[Sentence], name: str) -> None:
    """Says which entities of texts do not begin and end with words."""
    wrong = [
        (item, mark)
        for item in items
        for mark in item.marks or ()
        if (at := words_at(mark.start, mark.end, item.spans)) is None
        or mark_of(Entity(mark.type, *at), item.spans) != mark
    ]
    if wrong:
        item, mark = wrong[0]
        log.warning(
            "%s: %d entities do not begin and end where words do, and are learned as "
            "whole words; the first is %r in %r",
            *(name, len(wrong), item.text[mark.start : mark.end], item.text[:80]),
        )


# === Data in memory ===


def sentences_in_memory(
    words: Iterable[Any], tags: Iterable[Any] | None = None, *, labeled: bool = True
) -> list[Sentence]:
    """Returns sentences of words and tags in memory.

    Args:
        words: `Sentence`s, or lists of words.
        tags: a list for each sentence, of as many tags as words.
        labeled: whether tags are needed.

    Raises:
        InputError: naming the sentence.

    Example:
        >>> sentences_in_memory([["Ada", "runs"]], [["B-PER", "O"]])[0].tags
        ('B-PER', 'O')
    """
    rows = list(words)
    if all(isinstance(row, Sentence) for row in rows):
        return rows
    if labeled and tags is None:
        raise InputError("Expected tags as labels, a list for each sentence.")
    labels = [None] * len(rows) if tags is None else list(tags)
    if len(labels) != len(rows):
        raise InputError(
            f"Expected as many lists of tags as sentences, {len(rows)}. Received: "
            f"{len(labels)}."
        )
    return [_sentence(*row) for row in enumerate(zip(rows, labels, strict=True))]


def _sentence(number: int, row: tuple[Any, Any]) -> Sentence:
    for values in row:
        lists = isinstance(values, list | tuple | np.ndarray)
        if values is not None and not (lists and all(map(is_text, values))):
            raise InputError(
                "Expected lists of words, and lists of tags as labels. Received: "
                f"{str(values)[:60]!r} as number {number}."
            )
    words, tags = row
    if tags is not None and len(tags) != len(words):
        raise InputError(
            f"Expected a tag for each of the {len(words)} words of sentence {number}. "
            f"Received: {len(tags)}."
        )
    return Sentence(tuple(words), None if tags is None else tuple(tags))
