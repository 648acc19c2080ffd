"""Reading: batches of every form, masks that change, iterators that go on."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from keras_bert import BertConfig, BertForMaskedLM, BertForPreTraining, BertTokenizer
from keras_bert.errors import InputError, MissingFileError
from keras_bert.pretraining.examples import encode_examples
from keras_bert.pretraining.hashed_random import mix
from keras_bert.pretraining.interpreter_gate import Gate
from keras_bert.pretraining.masking import MaskingSettings, Vocabulary, mask_rows
from keras_bert.pretraining.packing import Places, pack
from keras_bert.pretraining.reading import dataset
from keras_bert.pretraining.record_form import record_form
from keras_bert.pretraining.records import encode_compact, encode_static
from keras_bert.pretraining.rows import (
    ModelRows,
    Pieces,
    SpecialIds,
    lay_out,
    piece_lengths,
)
from keras_bert.pretraining.tfrecords import write_records
from keras_bert.training.step import BatchLoss
from tests.bounds import assert_close
from tests.paths import ROOT
from tests.vocabulary import SPECIAL

TOKENIZER = BertTokenizer(
    [*SPECIAL, *(f"w{i}" for i in range(51)), *(f"##p{i}" for i in range(43))]
)
SEQ, PREDICTIONS, SLOTS, ROWS = 37, 7, 3, 44
MASKING = MaskingSettings(PREDICTIONS, 0.2, "word")
CONFIG = BertConfig(
    vocab_size=TOKENIZER.vocab_size,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=17,
    max_position_embeddings=SEQ,
    output_hidden_states=True,
)


class Form(NamedTuple):
    """One way to keep the same texts."""

    compact: bool = False
    packed: bool = False
    labeled: bool = True
    naming: str = "google"
    suffix: str = ""
    says_words: bool = False


FORMS = {
    "google": Form(),
    "model_garden": Form(naming="model_garden", suffix=".gz"),
    "packed": Form(packed=True),
    "packed_model_garden": Form(packed=True, naming="model_garden"),
    "unlabeled": Form(labeled=False),
    "compact": Form(compact=True),
    "compact_packed": Form(compact=True, packed=True, suffix=".gz"),
    "compact_words": Form(compact=True, says_words=True),
    "compact_unlabeled": Form(compact=True, packed=True, labeled=False),
}
COMPACT = [name for name, form in FORMS.items() if form.compact]


def texts(form: Form) -> tuple[np.ndarray, np.ndarray, Pieces, Places]:
    """Tokens, which continue words, pieces of them, and the places of those."""
    rng = np.random.default_rng(3)
    tokens = rng.integers(len(SPECIAL), TOKENIZER.vocab_size, 900).astype(np.int32)
    continues = Vocabulary.of(TOKENIZER).continues[tokens]
    if form.says_words:
        continues |= rng.random(900) < 0.5
    count = ROWS * (SLOTS - 1 if form.packed else 1)
    sizes = rng.integers(1, 9 if form.packed else 17, (count, 2))
    starts = rng.integers(0, 800, (count, 2))
    spans = np.stack([starts, starts + sizes], axis=2).reshape(count, 4)
    labels = rng.integers(0, 2, count).astype(np.int32)
    pieces = Pieces(spans, labels, mix(8, np.arange(count)))
    slots = SLOTS if form.packed else 1
    return tokens, continues, pieces, pack(piece_lengths(spans), SEQ, slots)


def rows_of(form: Form) -> ModelRows:
    slots = SLOTS if form.packed else 1
    special = SpecialIds.of(TOKENIZER)
    tokens, continues, pieces, places = texts(form)
    return lay_out(tokens, continues, pieces, SEQ, special, places, slots)


def encoded(form: Form) -> list[bytes]:
    if form.compact:
        tokens, continues, pieces, places = texts(form)
        return encode_compact(
            tokens,
            continues if form.says_words else None,
            pieces,
            places,
            width=SEQ,
            slots=SLOTS if form.packed else 1,
            labeled=form.labeled,
        )
    rows = rows_of(form)
    masked = mask_rows(
        rows.input_ids,
        rows.lengths,
        rows.continues,
        rows.keys,
        Vocabulary.of(TOKENIZER),
        MASKING,
    )
    return encode_static(
        rows, masked, naming=form.naming, packed=form.packed, labeled=form.labeled
    )


@pytest.fixture(scope="module")
def patterns(tmp_path_factory) -> dict[str, str]:
    """For each form a pattern of three files."""
    folder = tmp_path_factory.mktemp("records")
    for name, form in FORMS.items():
        records = encoded(form)
        for shard in range(3):
            path = folder / f"{name}-{shard}{form.suffix}"
            write_records(path, [records[shard::3]])
    return {
        name: str(folder / f"{name}-?{form.suffix}") for name, form in FORMS.items()
    }


def read(pattern: Any, batch_size: int = 4, **options: Any) -> tf.data.Dataset:
    return dataset(pattern, batch_size, tokenizer=TOKENIZER, masking=MASKING, **options)


def arrays(batches: Any) -> list:
    return [tf.nest.map_structure(np.array, batch) for batch in batches]


def assert_same(ours: Any, expected: Any) -> None:
    tf.nest.map_structure(np.testing.assert_array_equal, ours, expected)


def ids_of(data: tf.data.Dataset) -> list[bytes]:
    """The rows' ids as the model sees them."""
    rows = (row for batch in data for row in batch[0]["input_ids"].numpy())
    return [row.tobytes() for row in rows]


# Batches


@pytest.mark.parametrize("name", FORMS)
def test_shapes_and_types(patterns, name):
    form = FORMS[name]
    features, labels, weights = read(patterns[name], 5).element_spec
    packed = {"position_ids": (5, SEQ), "cls_positions": (5, SLOTS)}
    assert {key: spec.shape for key, spec in features.items()} == {
        "input_ids": (5, SEQ),
        "attention_mask": (5, SEQ),
        "token_type_ids": (5, SEQ),
        "masked_lm_positions": (5, PREDICTIONS),
        **(packed if form.packed else {}),
    }
    shapes = {
        "prediction_logits": (5, PREDICTIONS),
        "seq_relationship_logits": (5, SLOTS) if form.packed else (5,),
    }
    for specs, dtype in ((labels, tf.int32), (weights, tf.float32)):
        specs = specs if form.labeled else {"prediction_logits": specs}
        expected = shapes if form.labeled else {"prediction_logits": (5, PREDICTIONS)}
        assert {key: spec.shape for key, spec in specs.items()} == expected
        assert {spec.dtype for spec in specs.values()} == {dtype}
    assert {spec.dtype for spec in features.values()} == {tf.int32}
    (partial,) = islice(read(patterns[name], 99, drop_remainder=False), 1)
    assert len(partial[0]["input_ids"]) == len(rows_of(form).lengths) < 99


@pytest.mark.parametrize("name", FORMS)
def test_batches_hold_the_texts(patterns, name):
    form = FORMS[name]
    rows = rows_of(form)
    data = read(patterns[name], 99, shuffle=False, drop_remainder=False)
    features, labels, weights = arrays(data)[0]
    tokens = labels["prediction_logits"] if form.labeled else labels
    real = (weights["prediction_logits"] if form.labeled else weights) > 0
    ids = features["input_ids"]
    number, column = real.nonzero()
    ids[number, features["masked_lm_positions"][number, column]] = tokens[real]
    order = [rows.input_ids.tolist().index(row) for row in ids.tolist()]
    assert sorted(order) == list(range(len(rows.lengths)))
    for key, values in features.items():
        if key not in ("input_ids", "masked_lm_positions"):
            np.testing.assert_array_equal(values, getattr(rows, key)[order], key)
    if form.labeled:
        shape = (-1, SLOTS) if form.packed else (-1,)
        for ours, expected in (
            (labels["seq_relationship_logits"], rows.labels),
            (weights["seq_relationship_logits"], rows.label_weights),
        ):
            np.testing.assert_array_equal(ours, expected[order].reshape(shape))


def test_form_is_read_from_the_first_record_there_is(patterns, tmp_path):
    write_records(tmp_path / "0.gz", [])
    write_records(tmp_path / "1.gz", [encoded(FORMS["packed_model_garden"])])
    form = record_form(sorted(tmp_path.iterdir()))
    assert form == (
        False,
        "model_garden",
        True,
        True,
        {"seq": SEQ, "pieces": SLOTS, "predictions": PREDICTIONS},
    )
    both = f"{tmp_path}/*,{patterns['packed_model_garden']}"  # compressed and not
    once = len(ids_of(read(patterns["packed_model_garden"], 1)))
    assert len(ids_of(read(both, 1))) == 2 * once


# Order and masks


def test_order_follows_the_seed(patterns):
    def ids(**options: Any) -> list[bytes]:
        return ids_of(read(patterns["google"], drop_remainder=False, **options))

    first = ids(seed=1)
    assert first == ids(seed=1)
    assert first != ids(seed=2) != ids(shuffle=False)
    assert sorted(first) == sorted(ids(seed=2)) == sorted(ids(shuffle=False))


@pytest.mark.parametrize("name", ["google", "compact"])
def test_repeat(patterns, name):
    once = sum(1 for _ in read(patterns[name]))
    assert once == ROWS // 4
    assert len(list(read(patterns[name], repeat=True).take(2 * once))) == 2 * once


@pytest.mark.parametrize("name", COMPACT)
def test_masks_are_new_in_every_epoch(patterns, name):
    again = read(patterns[name], 1, seed=1)
    repeated = ids_of(read(patterns[name], 1, seed=1, repeat=True).take(3 * ROWS))
    count = len(ids_of(again))
    epochs = [set(ids_of(again)) for _ in range(3)]
    epochs += [set(repeated[i * count : (i + 1) * count]) for i in range(2)]
    for number, epoch in enumerate(epochs):
        for other in epochs[:number]:
            assert len(epoch & other) < count / 2  # short rows have few masks


@pytest.mark.parametrize("name", COMPACT)
def test_equal_seeds_give_equal_masks(patterns, name):
    assert_same(
        *(arrays(read(patterns[name], seed=5, repeat=True).take(25)) for _ in range(2))
    )
    ordered = read(patterns[name], seed=5, shuffle=False)
    assert_same(*(arrays(ordered) for _ in range(2)))  # what is evaluated stays
    other = ids_of(read(patterns[name], seed=6, shuffle=False))
    assert set(ids_of(ordered)).isdisjoint(other) or len(set(other)) > 0.8 * len(other)


def test_masks_keep_words_whole(patterns):
    """By what the records say of words, which the vocabulary does not know."""
    rows = rows_of(FORMS["compact_words"])
    data = read(patterns["compact_words"], 99, shuffle=False, drop_remainder=False)
    features, labels, weights = arrays(data)[0]
    split = 0
    for row in range(len(features["input_ids"])):
        real = weights["prediction_logits"][row] > 0
        chosen = features["masked_lm_positions"][row][real]
        ids = features["input_ids"][row].copy()
        ids[chosen] = labels["prediction_logits"][row][real]
        place = rows.input_ids.tolist().index(ids.tolist())
        is_chosen = np.isin(np.arange(SEQ), chosen)
        continues = rows.continues[place][1:]
        text = (ids >= len(SPECIAL))[:-1]
        split += ((is_chosen[1:] != is_chosen[:-1]) & continues & text).sum()
    assert rows.continues.mean() > 0.3 and split == 0


# Checkpoints


def batches_of(iterator: Iterator, count: int) -> list:
    return arrays(islice(iterator, count))


@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize("name", FORMS)
def test_restored_iterators_go_on(patterns, name, repeat, tmp_path):
    """In the midst of a pass, with the buffer half read, on a new dataset."""

    def fresh() -> Iterator:
        return iter(read(patterns[name], 3, seed=9, shuffle_buffer=8, repeat=repeat))

    iterator, count = fresh(), 20 if repeat else 5
    batches_of(iterator, count)
    path = tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "at"))
    expected = batches_of(iterator, 20)
    assert len(expected) == 20 if repeat else len(expected) > 3
    restored = fresh()
    batches_of(restored, 2)  # whatever it did before
    tf.train.Checkpoint(iterator=restored).restore(path).assert_consumed()
    assert_same(batches_of(restored, 20), expected)


# Models


@pytest.mark.parametrize("name", ["packed", "compact_packed"])
def test_packed_rows_give_the_numbers_of_their_pieces(patterns, name):
    model = BertForPreTraining(CONFIG, seed=1)
    data = read(patterns[name], 99, drop_remainder=False)
    ((features, labels, weights),) = arrays(data)
    outputs = tf.nest.map_structure(np.asarray, model(features))
    alone, expected = _unpacked(features, labels, weights)
    single = tf.nest.map_structure(np.asarray, model(alone))
    row, piece = expected["row"], expected["piece"]
    positions = features["masked_lm_positions"]
    compared = 0
    for number, (r, p) in enumerate(zip(row, piece, strict=True)):
        here = features["attention_mask"][r] == p + 1
        length = here.sum()
        pairs = [
            (ours[r][here], theirs[number][:length])
            for ours, theirs in zip(
                outputs["hidden_states"], single["hidden_states"], strict=True
            )
        ]
        nsp = "seq_relationship_logits"
        pairs.append((outputs[nsp][r, p], single[nsp][number]))
        for column in (weights["prediction_logits"][r] > 0).nonzero()[0]:
            if here[positions[r, column]]:
                place = positions[r, column] - here.argmax()
                slot = alone["masked_lm_positions"][number].tolist().index(place)
                mlm = "prediction_logits"
                pairs.append((outputs[mlm][r, column], single[mlm][number, slot]))
                compared += 1
        for ours, theirs in pairs:
            assert_close(ours, theirs)
    assert compared == (weights["prediction_logits"] > 0).sum() > 100


@pytest.mark.parametrize("name", ["packed", "compact_packed"])
def test_packed_rows_have_the_loss_of_their_pieces(patterns, name):
    objective = BatchLoss(BertForPreTraining(CONFIG, seed=1))
    data = read(patterns[name], 99, drop_remainder=False)
    (batch,) = arrays(data)
    alone, expected = _unpacked(*batch)
    labels = {key: expected[key] for key in batch[1]}
    weights = {key: expected[f"{key} weights"] for key in batch[2]}
    ours, _ = objective(batch, training=False)
    theirs, _ = objective((alone, labels, weights), training=False)
    np.testing.assert_allclose(ours, theirs, 1e-6)


def _unpacked(features: dict, labels: dict, weights: dict) -> tuple[dict, dict]:
    """Every piece in a row of its own, and what is expected of it."""
    row, piece = (
        (features["attention_mask"][:, None] == np.arange(1, SLOTS + 1)[:, None])
        .any(2)
        .nonzero()
    )
    count = len(row)
    alone = {
        key: np.zeros((count, SEQ), np.int32)
        for key in ("input_ids", "attention_mask", "token_type_ids")
    }
    alone["masked_lm_positions"] = np.zeros((count, PREDICTIONS), np.int32)
    mlm, nsp = "prediction_logits", "seq_relationship_logits"
    expected = {
        "row": row,
        "piece": piece,
        mlm: np.zeros((count, PREDICTIONS), np.int32),
        f"{mlm} weights": np.zeros((count, PREDICTIONS), np.float32),
        nsp: labels[nsp][row, piece],
        f"{nsp} weights": weights[nsp][row, piece],
    }
    for number, (r, p) in enumerate(zip(row, piece, strict=True)):
        here = features["attention_mask"][r] == p + 1
        start, length = here.argmax(), here.sum()
        assert start == features["cls_positions"][r, p]
        alone["input_ids"][number, :length] = features["input_ids"][r][here]
        alone["token_type_ids"][number, :length] = features["token_type_ids"][r][here]
        alone["attention_mask"][number, :length] = 1
        places = features["masked_lm_positions"][r]
        chosen = (weights[mlm][r] > 0) & here[places]
        size = chosen.sum()
        alone["masked_lm_positions"][number, :size] = places[chosen] - start
        expected[mlm][number, :size] = labels[mlm][r][chosen]
        expected[f"{mlm} weights"][number, :size] = 1
    return alone, expected


@pytest.mark.parametrize("name", FORMS)
def test_fit(patterns, name):
    config = CONFIG.replace(output_hidden_states=False)
    kind = BertForPreTraining if FORMS[name].labeled else BertForMaskedLM
    model = kind(config, seed=1)
    model.compile(run_eagerly=True)  # quicker than tracing
    data = read(patterns[name], 8, seed=1, repeat=True)
    history = model.fit(data, steps_per_epoch=1, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all() and len(history["loss"]) == 2


# The end of Python


def test_a_closed_gate_turns_away_and_waits():
    gate, begun, done = Gate(), threading.Event(), []

    def work() -> None:
        begun.set()
        time.sleep(0.2)
        done.append(True)

    call = gate.guarded(work)
    thread = threading.Thread(target=call)
    thread.start()
    begun.wait()
    gate.close()
    assert done == [True]
    with pytest.raises(StopIteration):
        call()
    thread.join()
    assert done == [True]


ENDS_WHILE_BATCHES_ARE_MADE = """
import sys
from keras_bert import BertTokenizer
from keras_bert.pretraining.reading import dataset
tokenizer = BertTokenizer(sys.argv[2])
batches = iter(dataset(sys.argv[1], 8, tokenizer=tokenizer, repeat=True))
for _ in range(5):
    next(batches)
"""


@pytest.mark.slow
def test_python_ends_while_batches_are_made(patterns, tmp_path):
    """Without the gate this hangs for ever."""
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(TOKENIZER.tokens))
    arguments = ENDS_WHILE_BATCHES_ARE_MADE, patterns["compact"], str(vocabulary)
    done = subprocess.run([sys.executable, "-c", *arguments], cwd=ROOT, timeout=120)
    assert done.returncode == 0


# What cannot be read


def test_files_that_are_no_records(tmp_path):
    with pytest.raises(MissingFileError, match="keras-bert data"):
        dataset(tmp_path / "none-*", 3)
    (tmp_path / "text").write_text("no records " * 9)
    with pytest.raises(InputError, match="not a TFRecord"):
        dataset(tmp_path / "text", 3)
    write_records(tmp_path / "other", [encode_examples({"x": np.ones((1, 1))})])
    with pytest.raises(InputError, match="lacks input_ids"):
        dataset(tmp_path / "other", 3)
    write_records(tmp_path / "empty", [])
    with pytest.raises(InputError, match="holds none"):
        dataset(tmp_path / "empty", 3)


def test_compact_records_need_their_tokenizer(patterns):
    with pytest.raises(InputError, match="Pass the one they were made with"):
        dataset(patterns["compact"], 3)
    small = BertTokenizer([*SPECIAL, "w0"])
    with pytest.raises(tf.errors.OpError, match="ids below 6"):
        list(dataset(patterns["compact"], 3, tokenizer=small))
