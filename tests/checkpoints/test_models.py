"""Models from checkpoints of the Model Garden, KerasHub and TensorFlow's transformers.

Runs on the backend that KERAS_BACKEND names; `project/test_backends.py` runs it again
on JAX.
"""

import keras
import numpy as np
import pytest

import keras_bert
from keras_bert.checkpoints import formats
from keras_bert.checkpoints.matching import resolve_contents
from tests.bounds import assert_close
from tests.paths import SHARED, shared

WRITERS = ("mg_*", "kh_*", "hf457_tf_*")
CASES = sorted(p.name for w in WRITERS for p in SHARED.glob(f"goldens/{w}"))
INPUTS = ("input_ids", "attention_mask", "token_type_ids", "masked_lm_positions")
# Ours and theirs.
NAMES = {
    "prediction_logits": "mlm_logits",
    "seq_relationship_logits": "nsp_logits",
    "last_hidden_state": "sequence_output",
    "pooler_output": "pooled_output",
}
ENCODER = ("sequence_output", "pooled_output")
PLAIN = "normal_"  # of a model that drops tokens while it trains


def _named(outputs: dict, head: str) -> dict[str, np.ndarray]:
    states, attentions = (outputs.pop(n) for n in ("hidden_states", "attentions"))
    named = {NAMES.get(name, name): value for name, value in outputs.items()}
    if head == "BertForMaskedLM":
        named["mlm_logits"] = named.pop("logits")
    named |= {f"hidden_{i}": value for i, value in enumerate(states[1:])}
    named |= {f"attention_{i}": value for i, value in enumerate(attentions)}
    named["embeddings"] = states[0]
    return {name: keras.ops.convert_to_numpy(value) for name, value in named.items()}


def _expected(folder, ours: dict) -> dict[str, np.ndarray]:
    theirs = dict(np.load(folder / "outputs.npz"))
    plain = {n.removeprefix(PLAIN): theirs[n] for n in theirs if n.startswith(PLAIN)}
    theirs = plain or theirs
    # An encoder's outputs are stored beside every head's, and losses.
    results = ("hidden_", "attention_", "embeddings", *ENCODER)
    kept = [n for n in theirs if n.startswith(results) or n.endswith("logits")]
    return {n: theirs[n] for n in kept if n in ours or n not in ENCODER}


@pytest.mark.parametrize("case", CASES or ["absent"])
def test_a_loaded_model_computes_what_the_original_did(case):
    folder = shared("goldens", case)
    head = resolve_contents(formats.read(folder)).head
    model = getattr(keras_bert, head).from_pretrained(
        folder, output_hidden_states=True, output_attentions=True
    )
    inputs = np.load(folder / "inputs.npz")
    given = {name: inputs[name] for name in INPUTS if name in inputs}
    ours = _named(dict(model(given)), head)
    expected = _expected(folder, ours)
    assert len(expected) >= 2 * model.config.num_hidden_layers + 2
    for name, value in expected.items():
        assert_close(ours[name], value, name=name)


@pytest.mark.parametrize("case", CASES or ["absent"])
def test_an_encoder_is_loaded_from_any_head(case, caplog):
    folder = shared("goldens", case)
    model = keras_bert.BertModel.from_pretrained(folder)
    assert "new weights" not in caplog.text
    inputs, outputs = (np.load(folder / f"{n}.npz") for n in ("inputs", "outputs"))
    layers = model.config.num_hidden_layers
    names = (f"{PLAIN}sequence_output", "sequence_output", f"hidden_{layers - 1}")
    expected = next(outputs[name] for name in names if name in outputs)
    ours = model({name: inputs[name] for name in INPUTS[:3]})["last_hidden_state"]
    value = keras.ops.convert_to_numpy(ours)
    assert_close(value, expected)
