"""What records hold: instances as text, statistics, a picture."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_bert.atomic_files import new_file
from keras_bert.errors import InputError
from keras_bert.pretraining.masking import MaskingSettings
from keras_bert.pretraining.reading import dataset
from keras_bert.tokenization import BertTokenizer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEGEND = "[a→MASK] hidden   [a→b] replaced   [a=a] kept"
LABELS = ("second text follows", "second text random or swapped")
_BATCH = 512
_BINS = 16
_BAR = 40  # characters of the longest bar
# Told apart with any kind of color vision (Okabe & Ito 2008).
_BLUE, _ORANGE, _GREEN, _GRAY = "#0072b2", "#d55e00", "#009e73", "#6b7280"


class InstancePiece(NamedTuple):
    """One text, or a pair of texts, of an instance.

    Attributes:
        text: its tokens joined, special ones included; `LEGEND` tells the marks.
        length: tokens.
        predictions: tokens to be predicted.
        label: 1 for a random or swapped second text; None without labels.
    """

    text: str
    length: int
    predictions: int
    label: int | None


Instance = list[InstancePiece]  # several if rows are packed


class Statistics(NamedTuple):
    """Counts over records.

    Attributes:
        width: tokens a row has room for.
        hidden: predicted tokens that are [MASK].
        replaced: predicted tokens that are other words.
        kept: predicted tokens that are left as they are.
        broken_words: words of several tokens of which some are predicted, not all.
        whole_words: words of several tokens that are predicted as a whole.
        labels: int `(2,)`: pieces by label; zeros without labels.
        row_lengths: int `(width + 1,)`: rows by number of tokens.
        piece_lengths: int `(width + 1,)`: pieces by number of tokens.
        pieces: int `(width + 1,)`: rows by number of pieces.
    """

    width: int
    hidden: int
    replaced: int
    kept: int
    broken_words: int
    whole_words: int
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
        """Tokens of all rows, special ones included, padding not."""
        return int(self.row_lengths @ np.arange(self.width + 1))

    @property
    def fill(self) -> float:
        """The share of the rows' room that has tokens."""
        return _share(self.tokens, self.instances * self.width)

    @property
    def predictions(self) -> int:
        """Tokens to be predicted."""
        return self.hidden + self.replaced + self.kept

    @property
    def mask_rate(self) -> float:
        """The share of tokens to be predicted."""
        return _share(self.predictions, self.tokens)

    @property
    def whole_word_share(self) -> float:
        """Of words of several tokens with a prediction, those predicted whole."""
        return _share(self.whole_words, self.whole_words + self.broken_words)

    @property
    def pieces_per_row(self) -> float:
        """Texts or pairs of texts in a row, on average."""
        return _share(self.pieces @ np.arange(len(self.pieces)), self.instances)


class Inspection(NamedTuple):
    """The first instances, and counts over all that were read."""

    instances: list[Instance]
    statistics: Statistics


def _share(part: float, whole: float) -> float:
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
    """Reads records of any form, the way a training run does.

    Args:
        files: names, patterns, comma lists.
        tokenizer: the one they were made with.
        examples: instances to return as text, from the beginning.
        limit: records to count, from the beginning; None for all.
        masking: how compact records are masked.
        seed: of the masks of compact records.

    Raises:
        MissingFileError: no file matches.
        InputError: a file is not a TFRecord of pretraining examples, or the
            tokenizer is another one.

    Example:
        >>> found = inspect_records("a.tfrecord", tokenizer)  # doctest: +SKIP
        >>> print(format_inspection(found))  # doctest: +SKIP
    """
    instances: list[Instance] = []
    counts: Statistics | None = None
    for fields in _batches(files, tokenizer, limit, masking, seed):
        rows = _RecordBatch(fields, tokenizer)
        missing = range(min(examples - len(instances), rows.count))
        instances += [rows.instance(row) for row in missing]
        counts = rows.statistics() if counts is None else _sum(counts, rows)
    if counts is None:
        raise InputError("Expected at least one record to read (limit), received 0.")
    return Inspection(instances, counts)


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
    left = limit
    for features, labels, weights in data.as_numpy_iterator():
        fields = {
            **features,
            **_by_name(labels, "masked_lm_ids", "next_sentence_labels"),
            **_by_name(weights, "masked_lm_weights", "next_sentence_weights"),
        }
        if left is None:
            yield fields
            continue
        if left > 0:
            yield {name: value[:left] for name, value in fields.items()}
        left -= len(features["input_ids"])
        if left <= 0:
            return


def _by_name(values: Any, token: str, sentence: str) -> dict[str, np.ndarray]:
    """Names labels or weights; records without sentence labels have one array."""
    if not isinstance(values, Mapping):
        return {token: values}
    by_piece = values["seq_relationship_logits"]  # (rows,), or (rows, pieces)
    return {
        token: values["prediction_logits"],
        sentence: by_piece.reshape(len(by_piece), -1),
    }


class _RecordBatch:
    """A batch of rows, with what was there before masking."""

    def __init__(self, fields: dict[str, np.ndarray], tokenizer: BertTokenizer) -> None:
        self.fields = fields
        self.tokens = tokenizer.tokens
        self.ids = fields["input_ids"]
        self.pieces = fields["attention_mask"]  # the number of the piece, or 0
        self.count, self.width = self.ids.shape
        rows, columns = (fields["masked_lm_weights"] > 0).nonzero()
        places = rows, fields["masked_lm_positions"][rows, columns]
        self.original = self.ids.copy()
        self.original[places] = fields["masked_lm_ids"][rows, columns]
        self.chosen = np.zeros(self.ids.shape, bool)
        self.chosen[places] = True
        self._check_ids()
        self.hidden = self.chosen & (self.ids == tokenizer.mask_token_id)
        self.kept = self.chosen & ~self.hidden & (self.ids == self.original)
        special = np.isin(self.original, tokenizer.all_special_ids)
        self.is_text = (self.pieces > 0) & ~special
        follows = np.pad(self.is_text, ((0, 0), (1, 0)))[:, :-1] & self.is_text
        marked = np.array([token.startswith("##") for token in self.tokens])
        # What continues a word that was cut off stands for one.
        self.continues = follows & marked[self.original]

    def _check_ids(self) -> None:
        largest = max(self.ids.max(), self.original.max())
        if largest >= len(self.tokens):
            raise InputError(
                f"Expected ids below {len(self.tokens)}, the size of the vocabulary, "
                f"received {largest}. Use the tokenizer the records were made with."
            )

    # Text

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
        """Returns a token, marked if it is to be predicted, with a space before it."""
        before = self.tokens[self.original[row, column]]
        joined = self.continues[row, column]
        space = "" if joined else " "
        if not self.chosen[row, column]:
            return space + (before.removeprefix("##") if joined else before)
        after = self.tokens[self.ids[row, column]]
        if self.hidden[row, column]:
            return f"{space}[{before}→MASK]"
        return f"{space}[{before}{'=' if self.kept[row, column] else '→'}{after}]"

    # Counts

    def statistics(self) -> Statistics:
        counts = (self.pieces[:, :, None] == self._numbers()).sum(1)  # (rows, pieces)
        chosen, hidden, kept = (
            int(each.sum()) for each in (self.chosen, self.hidden, self.kept)
        )
        sizes, predicted = self._words()
        several = (sizes > 1) & (predicted > 0)
        whole = int((several & (predicted == sizes)).sum())
        return Statistics(
            self.width,
            hidden,
            chosen - hidden - kept,
            kept,
            int(several.sum()) - whole,
            whole,
            self._labels(counts > 0),
            self._histogram(counts.sum(1)),
            self._histogram(counts[counts > 0]),
            self._histogram((counts > 0).sum(1)),
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
        """Counts the tokens of each word, and those of them to be predicted."""
        words = (~self.continues).cumsum()[self.is_text.ravel()]
        return np.bincount(words), np.bincount(words, self.chosen[self.is_text])


def _sum(counts: Statistics, rows: _RecordBatch) -> Statistics:
    more = rows.statistics()
    sums = (a + b for a, b in zip(counts[1:], more[1:], strict=True))
    return Statistics(counts.width, *sums)


# Printed


def format_inspection(inspection: Inspection) -> str:
    """Returns the instances and statistics as text for a terminal."""
    instances = (
        format_instance(instance, number)
        for number, instance in enumerate(inspection.instances, 1)
    )
    parts = [*instances, LEGEND] if inspection.instances else []
    return "\n\n".join([*parts, format_statistics(inspection.statistics)])


def format_instance(instance: Instance, number: int = 1, width: int = 88) -> str:
    """Returns one instance as text.

    Args:
        instance: its pieces.
        number: for the headline.
        width: characters of a line.

    Example:
        >>> print(format_instance([InstancePiece("[CLS] a [b→MASK] [SEP]", 4, 1, 0)]))
        Instance 1: 4 tokens, 1 to predict; second text follows
          [CLS] a [b→MASK] [SEP]
    """
    name = f"Instance {number}"
    headed = [
        (f"{name}.{index}" if len(instance) > 1 else name, piece)
        for index, piece in enumerate(instance, 1)
    ]
    return "\n".join(
        f"{head}: {piece.length} tokens, {piece.predictions} to predict"
        f"{'' if piece.label is None else f'; {LABELS[piece.label]}'}\n"
        f"{_wrapped(piece.text, width)}"
        for head, piece in headed
    )


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent="  ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def format_statistics(statistics: Statistics) -> str:
    """Returns statistics as text: a table, and the lengths as bars."""
    s = statistics
    rows = {
        "instances": f"{s.instances:,} of {s.width} tokens",
        "tokens": f"{s.tokens:,}, padding not counted",
        "fill": f"{s.fill:.1%} of the room",
        "pieces": f"{s.pieces_per_row:.2f} in a row",
        "to predict": f"{s.predictions:,}, {s.mask_rate:.1%} of the tokens",
        **_kinds(s),
        "whole words": f"{_percent(s.whole_word_share)} of words of several tokens",
        **_label_rows(s),
    }
    table = "\n".join(f"{name:<12} {value}" for name, value in rows.items())
    return f"{table}\n\n{_bars(s.piece_lengths, 'tokens')}"


def _kinds(s: Statistics) -> dict[str, str]:
    return {
        f"  {name}": f"{count:,}, {_percent(_share(count, s.predictions))}"
        for name, count in _by_kind(s).items()
    }


def _by_kind(s: Statistics) -> dict[str, int]:
    return {"[MASK]": s.hidden, "replaced": s.replaced, "kept": s.kept}


def _label_rows(s: Statistics) -> dict[str, str]:
    total = int(s.labels.sum())
    if not total:
        return {"labels": "none"}
    return {
        f"label {label}": f"{count:,}, {count / total:.1%}: {LABELS[label]}"
        for label, count in enumerate(s.labels.tolist())
    }


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{share:.1%}"


def _bars(counts: np.ndarray, unit: str) -> str:
    """Draws counts by number as bars of characters."""
    edges, sums = _binned(counts)
    ranges = [_range(low, high - 1) for low, high in pairwise(edges)]
    longest, digits = max(sums.max(), 1), max(map(len, ranges))
    lines = [
        f"{numbers:>{digits}} {'█' * -(-_BAR * count // longest):<{_BAR}} {count:,}"
        for numbers, count in zip(ranges, sums.tolist(), strict=True)
    ]
    return "\n".join([f"Pieces by {unit}", *lines])


def _range(first: int, last: int) -> str:
    return f"{first}–{last}" if last > first else f"{first}"


def _binned(counts: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Adds counts up to about `_BINS` bins: their edges, and a sum for each."""
    size = max(1, -(-(len(counts) - 1) // _BINS))
    edges = list(range(1, len(counts) + size, size))
    return edges, np.add.reduceat(counts, edges[:-1])


# Drawn


def draw(inspection: Inspection, path: str | Path, *, overwrite: bool = False) -> Path:
    """Draws lengths, fill, kinds of masking and labels.

    Args:
        inspection: its statistics are drawn.
        path: the PNG file.
        overwrite: replace a file that is there.

    Returns:
        `path`.

    Raises:
        ExistingOutputError: the file is there and `overwrite` is False.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.4), layout="constrained", facecolor="white")
    s = inspection.statistics
    panels = (_draw_lengths, _draw_fill, _draw_kinds, _draw_labels)
    for axes, draw_panel in zip(figure.subplots(2, 2).flat, panels, strict=True):
        draw_panel(axes, s)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"{s.instances:,} instances, {s.tokens:,} tokens, {s.mask_rate:.1%} to predict"
    )
    with new_file(path, overwrite) as partial:
        figure.savefig(partial, format="png", dpi=130)
    return Path(path)


def _draw_lengths(axes: "Axes", s: Statistics) -> None:
    edges, sums = _binned(s.piece_lengths)
    axes.stairs(sums, edges, fill=True, color=_BLUE)
    axes.set(title="Length of pieces", xlabel="tokens", ylabel="pieces")


def _draw_fill(axes: "Axes", s: Statistics) -> None:
    edges, sums = _binned(s.row_lengths)
    axes.stairs(sums, 100 * (np.array(edges) - 1) / s.width, fill=True, color=_GREEN)
    axes.axvline(100 * s.fill, color=_GRAY, linestyle="--", label=f"mean {s.fill:.1%}")
    axes.set(title="Fill of rows", xlabel="% of the room", ylabel="rows", xlim=(0, 100))
    axes.legend(frameon=False, loc="upper left")


def _draw_kinds(axes: "Axes", s: Statistics) -> None:
    _draw_shares(axes, _by_kind(s), (_BLUE, _ORANGE, _GRAY))
    axes.set(title="Tokens to predict", ylabel="%")


def _draw_labels(axes: "Axes", s: Statistics) -> None:
    """Draws the labels, or pieces by row where there are none."""
    if s.labels.any():
        names = (textwrap.fill(f"{i}: {name}", 20) for i, name in enumerate(LABELS))
        counts = dict(zip(names, s.labels.tolist(), strict=True))
        _draw_shares(axes, counts, (_BLUE, _ORANGE))
        axes.set(title="Labels", ylabel="%")
        return
    found = s.pieces.nonzero()[0].tolist()
    _draw_shares(axes, {str(n): int(s.pieces[n]) for n in found}, (_BLUE,))
    axes.set(title="Pieces in a row", ylabel="% of rows")


def _draw_shares(axes: "Axes", counts: dict[str, int], colors: Sequence[str]) -> None:
    total = max(sum(counts.values()), 1)
    shares = [100 * count / total for count in counts.values()]
    bars = axes.bar(list(counts), shares, color=colors, width=0.6)
    labels = [f"{s:.1f} %\n{n:,}" for s, n in zip(shares, counts.values(), strict=True)]
    axes.bar_label(bars, labels, padding=2)
    axes.set_ylim(0, max(*shares, 1) * 1.25)
