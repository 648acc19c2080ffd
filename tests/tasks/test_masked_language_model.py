"""The masked language model as a task."""

import json

import numpy as np
import pytest

from keras_bert.analysis import token_log_likelihoods
from keras_bert.errors import InputError, UnknownNameError
from keras_bert.tasks import MaskedLanguageModel
from keras_bert.tasks.masked_language_model import MaskedBatches
from tests.bounds import assert_close
from tests.cli.calling import call
from tests.serving.cases import VOCAB, make_model

assert VOCAB  # of the fixture `tokenizer`

TEXTS = ["a good film", "not so really bad", "seen it was a good good film not seen"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tokenizer):
    path = tmp_path_factory.mktemp("mlm") / "model"
    return make_model("masked_lm").save_pretrained(
        path, "huggingface", tokenizer=tokenizer
    )


@pytest.fixture(scope="module")
def task(checkpoint):
    return MaskedLanguageModel.from_pretrained(checkpoint)


def _loop(logits_of, tokenizer):
    """The log-likelihoods of each token, by a loop over texts and tokens."""
    found = []
    for text in TEXTS:
        row = [tokenizer.cls_token_id, *tokenizer.text_to_ids(text)]
        row = np.array([[*row, tokenizer.sep_token_id]])
        values = []
        for at in range(1, row.shape[1] - 1):
            masked = row.copy()
            masked[0, at] = tokenizer.mask_token_id
            logits = np.asarray(logits_of(masked), "float64")[0, at]
            values.append(logits[row[0, at]] - np.log(np.exp(logits).sum()))
        found.append(values)
    return found


def test_tokens_are_scored_as_one_by_one(task):
    model, tokenizer = task.model, task.tokenizer
    found = token_log_likelihoods(model, tokenizer, [*TEXTS, ""], batch_size=4)
    expected = _loop(lambda ids: model({"input_ids": ids}), tokenizer)
    assert [len(values) for values in found] == [3, 4, 9, 0]
    for values, others in zip(found, expected, strict=False):
        assert_close(values, others)
    mean = np.concatenate(expected).mean()
    assert task.pseudo_perplexity(TEXTS) == pytest.approx(np.exp(-mean), rel=1e-5)


@pytest.mark.slow
def test_tokens_are_scored_as_by_transformers(task, checkpoint):
    import torch
    from transformers import BertForMaskedLM

    model = BertForMaskedLM.from_pretrained(checkpoint).eval()
    with torch.no_grad():
        expected = _loop(
            lambda ids: model(torch.tensor(ids)).logits.numpy(), task.tokenizer
        )
    found = token_log_likelihoods(task.model, task.tokenizer, TEXTS)
    for values, others in zip(found, expected, strict=True):
        assert_close(values, others)


def test_what_cannot_be_scored(task):
    with pytest.raises(InputError, match=r"Received: 27 in text 2, 'a a a"):
        task.pseudo_perplexity(["a", "a " * 25])
    with pytest.raises(InputError, match="texts with tokens"):
        task.pseudo_perplexity([""])
    with pytest.raises(InputError, match=r"\[MASK\] in the text"):
        task.fill(["a film"])
    with pytest.raises(UnknownNameError, match="'f1'"):
        task.evaluate(TEXTS, metrics=["f1"])


def test_masks_are_filled(task, checkpoint):
    text = "a [MASK] film [MASK]"
    (answer,) = task.predict([text], top_k=3)
    first, second = answer["masks"]
    assert [len(first), len(second)] == [3, 3]
    assert first[0]["probability"] >= first[1]["probability"]
    words = first[0]["token"], second[0]["token"]
    assert answer["text"] == "a {} film {}".format(*words)
    command = ("fill-mask", "--model", checkpoint, text, "--top-k", 3)
    assert json.loads(call(*command, "--json").out) == answer
    lines = call(*command).out.splitlines()
    assert lines[0] == answer["text"] and lines[1].startswith(f"  {words[0]} 0.")


def test_every_pass_has_its_own_masks(tokenizer, task):
    features, _ = task.encode([*TEXTS, "a good film so bad"])
    batches = MaskedBatches(features, tokenizer, 2, seed=1, shuffle=True)
    passes = [[batches(step) for step in (2 * n + 1, 2 * n + 2)] for n in range(4)]
    seen = []
    for batch in passes:
        hidden = {}
        for inputs, ids, weights in batch:
            assert inputs["masked_lm_positions"].shape == ids.shape == weights.shape
            whole = inputs["input_ids"].copy()
            rows = np.arange(2)[:, None]
            np.put_along_axis(
                whole,
                inputs["masked_lm_positions"],
                np.where(weights > 0, ids, whole[rows, inputs["masked_lm_positions"]]),
                1,
            )
            for row, places in zip(whole, inputs["masked_lm_positions"], strict=True):
                hidden[tuple(row)] = tuple(places)
        assert hidden.keys() == {tuple(row) for row in features["input_ids"]}
        seen.append(hidden)
    assert any(one != seen[0] for one in seen)
    again = batches(3, slice(1, None))[0]["input_ids"]
    assert (again == passes[1][0][0]["input_ids"][1:]).all()
    last = MaskedBatches(features, tokenizer, 3, seed=1, shuffle=False)(2)
    assert (last[2].sum(1) > 0).tolist() == [True, False, False]


def test_long_texts_are_continued_in_the_next_row(checkpoint):
    task = MaskedLanguageModel.from_pretrained(checkpoint, max_length=6)
    features, _ = task.encode(["a good film not so bad"])
    rows = [task.tokenizer.convert_ids_to_tokens(r) for r in features["input_ids"]]
    assert rows == [
        ["[CLS]", "a", "good", "film", "not", "[SEP]"],
        ["[CLS]", "so", "bad", "[SEP]", "[PAD]", "[PAD]"],
    ]


def test_pretraining_is_continued(checkpoint, tmp_path):
    (lines := tmp_path / "lines.txt").write_text("\n".join(TEXTS) + "\n\n")
    task = MaskedLanguageModel.from_pretrained(checkpoint)
    before = task.evaluate(lines, metrics=["loss", "pseudo_perplexity"])
    assert list(before) == ["loss", "pseudo_perplexity"]
    settings = {"epochs": 40, "learning_rate": 1e-2, "batch_size": 3}
    task.fit(lines, dev=lines, show_progress=False, evaluate_every=20, **settings)
    assert [x["split"] for x in task.history][-1] == "heldout"
    after = task.evaluate(lines)
    assert list(after) == ["loss", "perplexity", "accuracy"]
    assert after["loss"] < before["loss"]
    assert task.history[-1]["loss"] == pytest.approx(after["loss"], rel=1e-4)
    path = task.save(tmp_path / "kept")
    done = call("evaluate", "--task", "mlm", "--model", path, "--data", lines)
    assert json.loads(done.out)["loss"] == pytest.approx(after["loss"], rel=1e-4)
