"""What the inspection of records says, against records made by hand and by runs."""

from pathlib import Path

import numpy as np
import pytest

from keras_bert import BertTokenizer
from keras_bert.errors import ExistingOutputError, InputError, MissingFileError
from keras_bert.pretraining import DataSettings, create_pretraining_data
from keras_bert.pretraining.examples import encode_examples
from keras_bert.pretraining.inspection import Inspection, inspect_records
from keras_bert.pretraining.inspection_report import (
    LABELS,
    LEGEND,
    draw,
    format_inspection,
    format_instance,
    format_statistics,
)
from keras_bert.pretraining.masking import MaskingSettings
from keras_bert.pretraining.sources import Documents
from keras_bert.pretraining.tfrecords import write_records
from tests.vocabulary import SPECIAL

WORDS = ["un", "##af", "##fable", "men", "walk", "##ed", "go", "##ing"]
VOCAB = [*SPECIAL, *WORDS]
WIDTH = 13


class Row:
    """One static record, from its tokens and what was there before masking."""

    def __init__(self, tokenizer, texts: list[str], masked: dict[int, str]) -> None:
        shown = [token for text in texts for token in text.split()]
        sizes = [len(text.split()) for text in texts]
        numbers = np.repeat(np.arange(len(texts)) + 1, sizes)
        places = np.array([*masked, *[0] * (5 - len(masked))])
        ids = tokenizer.convert_tokens_to_ids(list(masked.values()))
        room = WIDTH - len(shown)
        self.columns = {
            "input_ids": tokenizer.convert_tokens_to_ids(shown) + [0] * room,
            "input_mask": [*numbers, *[0] * room],
            "segment_ids": [0] * WIDTH,
            "masked_lm_positions": places,
            "masked_lm_ids": ids + [0] * (5 - len(ids)),
            "masked_lm_weights": [1.0] * len(ids) + [0.0] * (5 - len(ids)),
        }
        self.packed = {
            "position_ids": [0] * WIDTH,
            "cls_positions": np.cumsum([0, *sizes])[:3],
        }


def write(path: Path, rows: list[dict]) -> Path:
    columns = {
        name: np.array([row[name] for row in rows]).reshape(len(rows), -1)
        for name in rows[0]
    }
    for name, values in columns.items():
        dtype = np.float32 if name.endswith("weights") else np.int64
        columns[name] = values.astype(dtype)
    write_records(path, [encode_examples(columns)])
    return path


@pytest.fixture
def records(tmp_path, tokenizer) -> Path:
    """Two pairs; in the second a word was cut off in front."""
    first = Row(
        tokenizer,
        ["[CLS] un [MASK] ##fable men [SEP] go [MASK] ##ed [SEP]"],
        {2: "##af", 4: "men", 7: "walk", 8: "##ing"},
    )
    second = Row(
        tokenizer,
        ["[CLS] ##ing [MASK] [MASK] [SEP] go [SEP]"],
        {2: "walk", 3: "##ed"},
    )
    return write(
        tmp_path / "a.tfrecord",
        [
            {**first.columns, "next_sentence_labels": 1},
            {**second.columns, "next_sentence_labels": 0},
        ],
    )


def test_instances_are_shown_as_before_masking(records, tokenizer):
    (first,), (second,) = inspect_records(records, tokenizer).instances
    assert first.text == (
        "[CLS] un[##af→MASK]fable [men=men] [SEP] go [walk→MASK][##ing→##ed] [SEP]"
    )
    assert (first.length, first.predictions, first.label) == (10, 4, 1)
    assert second.text == "[CLS] ##ing [walk→MASK][##ed→MASK] [SEP] go [SEP]"
    assert (second.length, second.predictions, second.label) == (7, 2, 0)


def test_what_is_counted(records, tokenizer):
    s = inspect_records(records, tokenizer).statistics
    assert (s.instances, s.width, s.tokens) == (2, WIDTH, 17)
    assert s.fill == 17 / (2 * WIDTH)
    assert (s.hidden, s.replaced, s.kept, s.predictions) == (4, 1, 1, 6)
    assert s.mask_rate == 6 / 17
    # "un ##af ##fable" in part; "walk ##ing" and "walk ##ed" as a whole.
    assert (s.broken_words, s.whole_words, s.whole_word_share) == (1, 2, 2 / 3)
    assert s.labels.tolist() == [1, 1]
    assert s.row_lengths.nonzero()[0].tolist() == [7, 10]
    assert s.piece_lengths.tolist() == s.row_lengths.tolist()
    assert s.pieces_per_row == 1


def test_packed_rows_are_shown_piece_by_piece(tmp_path, tokenizer):
    row = Row(
        tokenizer,
        ["[CLS] men [SEP] [MASK] [SEP]", "[CLS] [MASK] ##ing [SEP] men [SEP]"],
        {3: "go", 6: "walk"},
    )
    labels = {"next_sentence_labels": [0, 1, 0], "next_sentence_weights": [1, 1, 0]}
    file = write(tmp_path / "a.gz", [{**row.columns, **row.packed, **labels}])
    found = inspect_records(file, tokenizer)
    assert [tuple(piece) for piece in found.instances[0]] == [
        ("[CLS] men [SEP] [go→MASK] [SEP]", 5, 1, 0),
        ("[CLS] [walk→MASK]ing [SEP] men [SEP]", 6, 1, 1),
    ]
    s = found.statistics
    assert s.labels.tolist() == [1, 1], "the third place is empty"
    assert s.pieces_per_row == 2
    assert s.piece_lengths.nonzero()[0].tolist() == [5, 6]
    assert s.row_lengths.nonzero()[0].tolist() == [11]
    text = format_inspection(found)
    assert f"Instance 1.2: 6 tokens, 1 to predict; {LABELS[1]}" in text


def test_rows_without_labels_and_predictions(tmp_path, tokenizer):
    row = Row(tokenizer, ["[CLS] men [SEP]"], {})
    found = inspect_records(write(tmp_path / "a", [row.columns]), tokenizer)
    assert found.instances == [[("[CLS] men [SEP]", 3, 0, None)]]
    text = format_inspection(found)
    assert "Instance 1: 3 tokens, 0 to predict\n  [CLS] men [SEP]" in text
    assert "nan" not in text and "labels       none" in text
    assert draw(found, tmp_path / "a.png").stat().st_size > 10_000


def test_only_as_much_is_read_as_asked(records, tokenizer):
    found = inspect_records([records] * 3, tokenizer, examples=1, limit=5)
    assert found.statistics.instances == 5
    assert len(found.instances) == 1
    everything = inspect_records([records] * 600, tokenizer, limit=None, examples=0)
    assert everything.statistics.instances == 1200
    assert everything.statistics.labels.tolist() == [600, 600]
    assert everything.instances == []
    assert LEGEND not in format_inspection(everything)


def test_what_cannot_be_inspected(tmp_path, records, tokenizer):
    with pytest.raises(InputError, match="vocabulary"):
        inspect_records(records, BertTokenizer([*SPECIAL, "un"]))
    with pytest.raises(InputError, match="limit"):
        inspect_records(records, tokenizer, limit=0)
    with pytest.raises(MissingFileError):
        inspect_records(tmp_path / "none", tokenizer)


# Made by runs


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"masking": "word", "naming": "model_garden"},
        {"pieces_per_row": 4},
        {"objective": "none"},
        {"objective": "sop", "masking": "span", "pieces_per_row": 3},
        {"form": "compact"},
        {"form": "compact", "pieces_per_row": 4, "masking": "word"},
    ],
    ids=str,
)
def test_counts_are_those_of_the_run(tmp_path, tokenizer, options):
    rng = np.random.default_rng(3)
    choices = ["unaffable", "men", "walked", "going", "go", "walking"]
    documents = [
        [" ".join(rng.choice(choices, rng.integers(2, 9))) for _ in range(7)]
        for _ in range(60)
    ]
    settings = DataSettings(
        max_seq_length=37, max_predictions_per_seq=7, dupe_factor=2, **options
    )
    file = tmp_path / "a.tfrecord"
    counts = create_pretraining_data(
        Documents(documents), file, tokenizer, settings, progress=False
    )
    masking = MaskingSettings(7, unit=options.get("masking", "token"))
    found = inspect_records(file, tokenizer, masking=masking)
    s = found.statistics
    assert s.instances == counts["records"] > 100
    assert s.pieces @ np.arange(38) == counts["pieces"]
    assert s.tokens == counts["record_tokens"]
    assert s.labels[1] == counts["random_or_swapped"]
    assert s.labels.sum() == counts["pieces"] * (options.get("objective") != "none")
    kinds = (s.predictions, s.hidden, s.replaced, s.kept)
    if "form" not in options:
        names = ("predictions", "masked", "replaced", "kept")
        assert kinds == tuple(counts[name] for name in names)
    assert min(kinds) > 0
    broken = s.broken_words > 0
    assert broken == (options.get("masking", "token") == "token")
    assert f"{s.fill:.1%} of the capacity" in format_inspection(found)


def test_masks_of_compact_records_follow_the_seed(tmp_path, tokenizer):
    documents = [["men walking going unaffable"] * 5] * 9
    file = tmp_path / "a.tfrecord"
    settings = DataSettings(max_seq_length=37, form="compact", dupe_factor=1)
    create_pretraining_data(
        Documents(documents), file, tokenizer, settings, progress=False
    )
    first, again, other = (
        inspect_records(file, tokenizer, seed=seed).instances for seed in (1, 1, 2)
    )
    assert first == again != other


# Printed and drawn


def test_statistics_are_printed(records, tokenizer):
    found = inspect_records(records, tokenizer)
    text = format_statistics(found.statistics)
    rows = dict(line.split("  ", 1) for line in text.strip().splitlines()[:5])
    assert rows["instances"].strip() == "2 of 13 tokens"
    assert rows["fill"].strip() == "65.4% of the capacity"
    assert "[MASK]     4, 66.7%" in text
    assert "whole words  66.7% of words of several tokens" in text
    assert f"label 1      1, 50.0%: {LABELS[1]}" in text
    bars = [line for line in text.splitlines() if "█" in line]
    assert [line.split()[0] for line in bars] == ["7", "10"]
    assert all(line.count("█") == 40 for line in bars)


def test_long_instances_are_wrapped(records, tokenizer):
    (instance, _) = inspect_records(records, tokenizer).instances
    text = format_instance(instance, 3, width=30)
    head, *lines = text.splitlines()
    assert head == f"Instance 3: 10 tokens, 4 to predict; {LABELS[1]}"
    assert len(lines) > 2 and max(map(len, lines)) <= 30
    assert " ".join(line.strip() for line in lines) == instance[0].text


def test_a_picture(tmp_path, records, tokenizer):
    found = inspect_records(records, tokenizer)
    path = draw(found, tmp_path / "made" / "a.png")
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) > 10_000
    with pytest.raises(ExistingOutputError):
        draw(found, path)
    draw(Inspection([], found.statistics), path, overwrite=True)
    assert path.read_bytes() == data
