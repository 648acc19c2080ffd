"""The data collators of `keras_bert.transformers`, next to `transformers` itself."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest

from keras_bert import transformers as ours
from keras_bert.errors import InputError, KerasBertError, UnknownNameError
from keras_bert.transformers import BertTokenizerFast
from tests.compat.tokenizer_calls import LONG, SHORT, VOCAB

theirs = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory) -> tuple:
    """Returns our tokenizer, and that of `transformers` of the same files."""
    folder = tmp_path_factory.mktemp("tokenizer")
    BertTokenizerFast(VOCAB, model_max_length=32).save_pretrained(folder)
    other = theirs.AutoTokenizer.from_pretrained(folder)
    return BertTokenizerFast.from_pretrained(folder), other


def rows(tokenizer, **more) -> list[dict]:
    values = [{k: v[i] for k, v in more.items()} for i in range(2)]
    texts = (SHORT, LONG)
    return [{**tokenizer(t), **v} for t, v in zip(texts, values, strict=True)]


def facts(batch) -> dict:
    """Returns names, types and values of a batch."""
    return {k: (str(v.dtype), np.asarray(v).tolist()) for k, v in batch.items()}


STACKED = [
    [{"input_ids": [2, 3], "label": 1}, {"input_ids": [2, 4], "label": 0}],
    [{"x": [0.5, 2.0], "label": 0.5}, {"x": [1, 4], "label": 2.0}],
    [{"x": np.ones((2, 2), "float32"), "label_ids": [1, 2]}] * 2,
    [{"x": True, "text": "left out", "none": None, "label": None}] * 2,
    [{"x": 3, "labels": 1}, {"x": 4, "labels": 0}],
    [SimpleNamespace(x=1, label=1), SimpleNamespace(x=2, label=0)],
]


@pytest.mark.parametrize("kind", ["np", "pt"])
@pytest.mark.parametrize("features", STACKED)
def test_rows_are_stacked_as_transformers_does(features, kind):
    pytest.importorskip("torch")
    found = ours.default_data_collator(copy.deepcopy(features), kind)
    expected = theirs.default_data_collator(copy.deepcopy(features), kind)
    assert facts(found) == facts(expected)
    assert facts(ours.DefaultDataCollator(kind)(features)) == facts(expected)


def test_a_function_makes_tensors_of_tensorflow():
    tf = pytest.importorskip("tensorflow")
    batch = ours.tf_default_data_collator(STACKED[0])
    assert {*map(tf.is_tensor, batch.values())} == {True}


def test_tensors_of_tensorflow_have_the_types_of_transformers_4():
    pytest.importorskip("tensorflow")
    features = [
        {"x": [1, 2], "y": 0.5, "z": np.ones(2, "int64"), "labels": i} for i in (1, 0)
    ]
    batch = ours.DefaultDataCollator(return_tensors="tf")(features)
    types = {k: v.dtype.name for k, v in batch.items()}
    assert types == {"labels": "int64", "x": "int32", "y": "float32", "z": "int64"}
    assert batch["labels"].numpy().tolist() == [1, 0]
    floats = [{"label": 1.0}, {"label": 2.5}]
    assert ours.default_data_collator(floats, "tf")["labels"].dtype.name == "float32"


@pytest.mark.parametrize("kind", ["np", "pt"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": "max_length"},
        {"padding": "max_length", "max_length": 30},
        {"pad_to_multiple_of": 8},
    ],
)
@pytest.mark.parametrize("name", ["label", "labels", "label_ids", "other"])
def test_rows_are_padded_as_transformers_does(tokenizers, options, name, kind):
    pytest.importorskip("torch")
    found, expected = (
        module.DataCollatorWithPadding(tokenizer, return_tensors=kind, **options)(
            rows(tokenizer, **{name: [1, 0]})
        )
        for module, tokenizer in zip((ours, theirs), tokenizers, strict=True)
    )
    assert facts(found) == facts(expected)
    assert list(found) == list(expected)


def test_columns_are_padded_as_rows_are(tokenizers):
    columns = {**tokenizers[0]([SHORT, LONG]), "label": [1, 0]}
    for module, tokenizer in zip((ours, theirs), tokenizers, strict=True):
        collate = module.DataCollatorWithPadding(tokenizer, return_tensors="np")
        expected = collate(rows(tokenizers[0], label=[1, 0]))
        assert facts(collate(columns)) == facts(expected)


def test_padding_makes_int32_of_tensorflow(tokenizers):
    pytest.importorskip("tensorflow")
    collate = ours.DataCollatorWithPadding(tokenizers[0], return_tensors="tf")
    batch = collate(rows(tokenizers[0], label=[1, 0]))
    assert {v.dtype.name for v in batch.values()} == {"int32"}
    assert batch["labels"].numpy().tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["np", "pt"])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", ["labels", None])
def test_labels_of_tokens_are_padded_as_transformers_does(tokenizers, name, side, kind):
    pytest.importorskip("torch")
    labels = [range(6), range(20)]
    more = {name: [list(r) for r in labels]} if name else {}
    for tokenizer in tokenizers:
        tokenizer.padding_side = side
    try:
        found, expected = (
            module.DataCollatorForTokenClassification(tokenizer, return_tensors=kind)(
                rows(tokenizer, **more)
            )
            for module, tokenizer in zip((ours, theirs), tokenizers, strict=True)
        )
    finally:
        for tokenizer in tokenizers:
            tokenizer.padding_side = "right"
    assert facts(found) == facts(expected)


def test_labels_of_tokens_are_int64_of_tensorflow(tokenizers):
    pytest.importorskip("tensorflow")
    collate = ours.DataCollatorForTokenClassification(
        tokenizers[0], return_tensors="tf", label_pad_token_id=-1
    )
    batch = collate(rows(tokenizers[0], labels=[[1] * 6, [2] * 20]))
    assert {v.dtype.name for v in batch.values()} == {"int64"}
    assert batch["labels"].numpy()[0, 6:].tolist() == [-1] * (
        batch["labels"].shape[1] - 6
    )


# === Masking ===


def masked(tokenizer, repeat=200, **options):
    collate = ours.DataCollatorForLanguageModeling(
        tokenizer, return_tensors="np", **options
    )
    features = [tokenizer(LONG), tokenizer(SHORT)] * repeat
    before = tokenizer.pad(copy.deepcopy(features), return_tensors="np")["input_ids"]
    return before, collate(features)


def test_masks_have_their_probabilities(tokenizers):
    before, batch = masked(tokenizers[0], seed=3)
    ids, labels = batch["input_ids"], batch["labels"]
    chosen = labels != -100
    ordinary = ~np.isin(before, tokenizers[0].all_special_ids)
    assert (labels[chosen] == before[chosen]).all()
    assert (ids[~chosen] == before[~chosen]).all()
    assert not (chosen & ~ordinary).any()
    assert abs(chosen.sum() / ordinary.sum() - 0.15) < 0.02
    now = ids[chosen]
    assert abs((now == tokenizers[0].mask_token_id).mean() - 0.8) < 0.05
    assert abs((now == before[chosen]).mean() - 0.1) < 0.05
    # The others are any token.
    assert len(set(now.tolist()) - set(before.ravel().tolist())) > 20


def test_a_seed_makes_the_same_masks(tokenizers):
    labels = [masked(tokenizers[0], 3, seed=s)[1]["labels"] for s in (5, 5, 6, 0)]
    assert (labels[0] == labels[1]).all()
    assert (labels[0] != labels[2]).any()
    assert (labels[0] != labels[3]).any()
    found = []
    for seed in (4, 4, 5):
        ours.set_seed(seed)
        found.append(masked(tokenizers[0], 3)[1]["labels"])
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()


def test_one_collator_goes_on_with_its_seed(tokenizers):
    collate = ours.DataCollatorForLanguageModeling(
        tokenizers[0], seed=1, return_tensors="np"
    )
    features = [tokenizers[0](LONG)] * 5
    first, second = (collate(features)["labels"] for _ in range(2))
    assert (first != second).any()


def test_whole_words_are_masked(tokenizers):
    collate = ours.DataCollatorForWholeWordMask(
        tokenizers[0], mlm_probability=0.5, seed=2, return_tensors="np"
    )
    text = tokenizers[0](["unaffable running dogs"] * 50)
    batch = collate([{"input_ids": row} for row in text["input_ids"]])
    chosen = batch["labels"] != -100
    words = np.array([-1 if w is None else w for w in text.word_ids(0)])
    whole = [{tuple(row[words == w]) for row in chosen} for w in range(words.max() + 1)]
    assert all(len(set(some)) == 1 for states in whole for some in states)
    assert all(len(states) == 2 for states in whole)  # masked in some rows


@pytest.mark.parametrize("kind", ["np", "pt", "tf"])
def test_without_masks_labels_are_the_ids(tokenizers, kind):
    for module in {"pt": ["torch"], "tf": ["tensorflow"]}.get(kind, []):
        pytest.importorskip(module)
    collate = ours.DataCollatorForLanguageModeling(
        tokenizers[0], mlm=False, return_tensors=kind
    )
    batch = collate(rows(tokenizers[0]))
    ids, labels = (np.asarray(batch[k]) for k in ("input_ids", "labels"))
    assert (labels == np.where(ids == 0, -100, ids)).all()
    assert labels.dtype == ("int32" if kind == "tf" else "int64")


@pytest.mark.parametrize("kind", ["pt", "tf"])
def test_masks_come_in_tensors_of_every_kind(tokenizers, kind):
    pytest.importorskip({"pt": "torch", "tf": "tensorflow"}[kind])
    collate = ours.DataCollatorForLanguageModeling(
        tokenizers[0], return_tensors=kind, pad_to_multiple_of=8, seed=1
    )
    some = tokenizers[0](LONG, return_special_tokens_mask=True)
    batch = collate([some, tokenizers[0](SHORT, return_special_tokens_mask=True)])
    assert list(batch) == ["input_ids", "token_type_ids", "attention_mask", "labels"]
    assert batch["input_ids"].shape[1] % 8 == 0
    types = [np.asarray(value).dtype.name for value in batch.values()]
    narrow = "int32" if kind == "tf" else "int64"
    assert types == ["int64", narrow, narrow, "int64"]
    assert collate([[2, 5, 6, 3], [2, 3]])["labels"].shape == (2, 8)


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (
            lambda t: ours.default_data_collator([{"x": 1}], "jax"),
            UnknownNameError,
            "jax",
        ),
        (
            lambda t: ours.default_data_collator([{"x": [1]}, {"x": [1, 2]}], "np"),
            InputError,
            "as x",
        ),
        (
            lambda t: ours.default_data_collator([{"x": 1}, {"y": 1}], "np"),
            InputError,
            "Row 1 lacks x",
        ),
        (
            lambda t: ours.DataCollatorWithPadding(
                t, padding=False, return_tensors="np"
            )([{"text": "a"}]),
            InputError,
            "input_ids",
        ),
        (
            lambda t: ours.DataCollatorForLanguageModeling(t, mlm_probability=1.5),
            InputError,
            "1.5",
        ),
        (
            lambda t: ours.DataCollatorForLanguageModeling(t, random_replace_prob=0.5),
            InputError,
            "0.5",
        ),
        (
            lambda t: ours.DataCollatorForWholeWordMask(t, mlm=False),
            InputError,
            "whole_word_mask",
        ),
    ],
)
def test_what_is_wrong_is_named(tokenizers, call, error, named):
    with pytest.raises(error, match=named) as raised:
        call(tokenizers[0])
    assert isinstance(raised.value, KerasBertError)
