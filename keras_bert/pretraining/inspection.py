"""Inspection of records: instances as text, and statistics."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_bert.errors import InputError
from keras_bert.pretraining.masking import MaskingSettings
from keras_bert.pretraining.reading import dataset
from keras_bert.tokenization import BertTokenizer
from keras_bert.tokenization.rules import is_chinese

_BATCH = 512


class InstancePiece(NamedTuple):
    """One text, or a pair of texts, of an instance.

    Attributes:
        text: its tokens joined, special ones included, with the marks of
            `keras_bert.pretraining.inspection_report.LEGEND`.
        length: in tokens.
        predictions: tokens to predict.
        label: 1 for a random or swapped second text; None without labels.
    """

    text: str
    length: int
    predictions: int
    label: int | None


Instance = list[InstancePiece]  # several pieces if rows are packed


class Statistics(NamedTuple):
    """Counts over records.

    Attributes:
        width: capacity of a row in tokens.
        hidden: tokens to predict that are replaced by [MASK].
        replaced: tokens to predict that are replaced by random words.
        kept: tokens to predict that are unchanged.
        broken_words: words of several tokens of which only some are predicted.
        whole_words: words of several tokens that are predicted completely.
        ideographs: tokens that are Chinese characters, each counted as a word: static
            records do not tell where words of several begin, and those of compact ones
            are not read here.
        labels: int `(2,)`: number of pieces by label; zeros without labels.
        row_lengths: int `(width + 1,)`: number of rows by length in tokens.
        piece_lengths: int `(width + 1,)`: number of pieces by length in tokens.
        pieces: int `(width + 1,)`: number of rows by number of pieces.
    """

    width: int
    hidden: int
    replaced: int
    kept: int
    broken_words: int
    whole_words: int
    ideographs: int
    labels: np.ndarray
    row_lengths: np.ndarray
    piece_lengths: np.ndarray
    pieces: np.ndarray

    @property
    def instances(self) -> int:
        """The number of rows."""
        return int(self.row_lengths.sum())

    @property
    def tokens(self) -> int:
        """Tokens of all rows, with special ones, without padding."""
        return int(self.row_lengths @ np.arange(self.width + 1))

    @property
    def fill(self) -> float:
        """The fraction of the rows' capacity that is filled."""
        return share(self.tokens, self.instances * self.width)

    @property
    def predictions(self) -> int:
        """The number of tokens to predict."""
        return self.hidden + self.replaced + self.kept

    @property
    def mask_rate(self) -> float:
        """The fraction of tokens to predict."""
        return share(self.predictions, self.tokens)

    @property
    def whole_word_share(self) -> float:
        """The fraction of masked words of several tokens that are masked completely."""
        return share(self.whole_words, self.whole_words + self.broken_words)

    @property
    def pieces_per_row(self) -> float:
        """The mean number of pieces per row."""
        return share(self.pieces @ np.arange(len(self.pieces)), self.instances)


class Inspection(NamedTuple):
    """The first instances, and statistics of all records that were read."""

    instances: list[Instance]
    statistics: Statistics


def share(part: float, whole: float) -> float:
    return float(part) / whole if whole else float("nan")


def inspect_records(
    files: str | Path | Sequence[str | Path],
    tokenizer: BertTokenizer,
    *,
    examples: int = 5,
    limit: int | None = 100_000,
    masking: MaskingSettings | None = None,
    seed: int = 0,
) -> Inspection:
    """Reads records of any form, as a training run does.

    Args:
        files: names, patterns, comma-separated lists.
        tokenizer: the one the records were made with.
        examples: the number of instances to return as text.
        limit: the number of records to count; None for all.
        masking: how compact records are masked.
        seed: for the masks of compact records.

    Raises:
        MissingFileError: no file matches.
        InputError: a file is not a TFRecord of pretraining examples, or the records
            were made with another tokenizer.

    Example:
        >>> found = inspect_records("a.tfrecord", tokenizer)  # doctest: +SKIP
        >>> print(format_inspection(found))  # doctest: +SKIP
    """
    instances: list[Instance] = []
    found: list[Statistics] = []
    for fields in _batches(files, tokenizer, limit, masking, seed):
        batch = _RecordBatch(fields, tokenizer)
        missing = range(min(examples - len(instances), batch.count))
        instances += [batch.instance(row) for row in missing]
        found.append(batch.statistics())
    if not found:
        raise InputError(f"Expected a limit of 1 record or more. Received: {limit}.")
    return Inspection(instances, reduce(_sum, found))


def _batches(
    files: str | Path | Sequence[str | Path],
    tokenizer: BertTokenizer,
    limit: int | None,
    masking: MaskingSettings | None,
    seed: int,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields records by the names of `keras_bert.features.PRETRAINING_RECORD`."""
    data = dataset(
        files,
        _BATCH,
        seed=seed,
        shuffle=False,
        drop_remainder=False,
        tokenizer=tokenizer,
        masking=masking,
    )
    left = math.inf if limit is None else limit
    for features, labels, weights in data.as_numpy_iterator():
        if left <= 0:
            return
        fields = {
            **features,
            **_by_name(labels, "masked_lm_ids", "next_sentence_labels"),
            **_by_name(weights, "masked_lm_weights", "next_sentence_weights"),
        }
        rows = min(left, len(features["input_ids"]))
        yield {name: value[:rows] for name, value in fields.items()}
        left -= rows


def _by_name(values: Any, token: str, sentence: str) -> dict[str, np.ndarray]:
    """Names labels or weights; without sentence labels they are one array."""
    if not isinstance(values, Mapping):
        return {token: values}
    by_piece = values["seq_relationship_logits"]  # (rows,), or (rows, pieces)
    return {
        token: values["prediction_logits"],
        sentence: by_piece.reshape(len(by_piece), -1),
    }


class _RecordBatch:
    """A batch of records, with the tokens before masking."""

    def __init__(self, fields: dict[str, np.ndarray], tokenizer: BertTokenizer) -> None:
        self.fields = fields
        self.tokens = tokenizer.tokens
        self.ids = fields["input_ids"]
        self.pieces = fields["attention_mask"]  # the number of the piece, or 0
        self.count, self.width = self.ids.shape
        self._unmask()
        self._check_ids()
        self.hidden = self.chosen & (self.ids == tokenizer.mask_token_id)
        self.kept = self.chosen & ~self.hidden & (self.ids == self.original)
        special = np.isin(self.original, tokenizer.all_special_ids)
        self.is_text = (self.pieces > 0) & ~special
        follows = np.pad(self.is_text, ((0, 0), (1, 0)))[:, :-1] & self.is_text
        marked = np.array([token.startswith("##") for token in self.tokens])
        self.ideograph = np.array([is_chinese(token) for token in self.tokens])
        # A piece whose word was cut off counts as a word.
        self.continues = follows & marked[self.original]

    def _unmask(self) -> None:
        """Restores the original ids, and marks those that are to be predicted."""
        fields = self.fields
        rows, columns = (fields["masked_lm_weights"] > 0).nonzero()
        places = rows, fields["masked_lm_positions"][rows, columns]
        self.original = self.ids.copy()
        self.original[places] = fields["masked_lm_ids"][rows, columns]
        self.chosen = np.zeros(self.ids.shape, bool)
        self.chosen[places] = True

    def _check_ids(self) -> None:
        largest = max(self.ids.max(), self.original.max())
        if largest >= len(self.tokens):
            raise InputError(
                f"Expected ids below {len(self.tokens)}, the size of the vocabulary, "
                f"received {largest}. Use the tokenizer the records were made with."
            )

    # === Text ===

    def instance(self, row: int) -> Instance:
        return [
            self._piece(row, number)
            for number in range(1, self.pieces[row].max(initial=0) + 1)
        ]

    def _piece(self, row: int, number: int) -> InstancePiece:
        columns = (self.pieces[row] == number).nonzero()[0]
        labels = self.fields.get("next_sentence_labels")
        return InstancePiece(
            "".join(self._shown(row, column) for column in columns).strip(),
            len(columns),
            int(self.chosen[row, columns].sum()),
            None if labels is None else int(labels[row, number - 1]),
        )

    def _shown(self, row: int, column: int) -> str:
        """Returns a token after a space, marked if it is to be predicted."""
        before = self.tokens[self.original[row, column]]
        joined = self.continues[row, column]
        space = "" if joined else " "
        if not self.chosen[row, column]:
            return space + (before.removeprefix("##") if joined else before)
        after = self.tokens[self.ids[row, column]]
        if self.hidden[row, column]:
            return f"{space}[{before}→MASK]"
        return f"{space}[{before}{'=' if self.kept[row, column] else '→'}{after}]"

    # === Counts ===

    def statistics(self) -> Statistics:
        counts = (self.pieces[:, :, None] == self._numbers()).sum(1)  # (rows, pieces)
        chosen, hidden, kept = (
            int(each.sum()) for each in (self.chosen, self.hidden, self.kept)
        )
        sizes, predicted = self._words()
        several = (sizes > 1) & (predicted > 0)
        whole = int((several & (predicted == sizes)).sum())
        return Statistics(
            width=self.width,
            hidden=hidden,
            replaced=chosen - hidden - kept,
            kept=kept,
            broken_words=int(several.sum()) - whole,
            whole_words=whole,
            ideographs=int((self.ideograph[self.original] & self.is_text).sum()),
            labels=self._labels(counts > 0),
            row_lengths=self._histogram(counts.sum(1)),
            piece_lengths=self._histogram(counts[counts > 0]),
            pieces=self._histogram((counts > 0).sum(1)),
        )

    def _numbers(self) -> np.ndarray:
        labels = self.fields.get("next_sentence_labels")
        most = self.pieces.max(initial=1) if labels is None else labels.shape[1]
        return np.arange(1, most + 1)

    def _histogram(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(values, minlength=self.width + 1)

    def _labels(self, present: np.ndarray) -> np.ndarray:
        labels = self.fields.get("next_sentence_labels")
        if labels is None:
            return np.zeros(2, np.int64)
        return np.bincount(labels[present], minlength=2)

    def _words(self) -> tuple[np.ndarray, np.ndarray]:
        """Counts the tokens of each word, and how many of them are to be predicted."""
        words = (~self.continues).cumsum()[self.is_text.ravel()]
        return np.bincount(words), np.bincount(words, self.chosen[self.is_text])


def _sum(counts: Statistics, more: Statistics) -> Statistics:
    sums = (a + b for a, b in zip(counts[1:], more[1:], strict=True))
    return Statistics(counts.width, *sums)
