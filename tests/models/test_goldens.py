"""The models against what the original implementations computed.

Runs on the backend that KERAS_BACKEND names; `project/test_backends.py` runs it again
on JAX and torch.
"""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_bert.families import FAMILIES
from keras_bert.models import MODELS
from keras_bert.training.step import BatchLoss
from tests.bounds import assert_close, bound
from tests.paths import SHARED, shared

# Tasks as the golden cases name them.
CLASSES = {
    "pretraining": "BertForPreTraining",
    "sequence_classification": "BertForSequenceClassification",
    "question_answering": "BertForQuestionAnswering",
    "optimizer_trace": "BertForPreTraining",
    "optimizer_trace_classifier": "BertForSequenceClassification",
}
SKIPPED = (
    *("lmhead_cross", "_h5", "_trace", "_optimizer"),
    "generate",  # decoding
)


def _cases() -> list[str]:
    """Names of the cases that Google's TF1 code or Hugging Face's models wrote."""
    folders = [p for w in ("google_tf1_*", "hf*") for p in SHARED.glob(f"goldens/{w}")]
    known = sorted(p.name for p in folders if _model_type(p) in FAMILIES)
    return [name for name in known if not any(word in name for word in SKIPPED)]


def _model_type(folder: Path) -> str:
    config = folder / "config.json"
    values = json.loads(config.read_text()) if config.is_file() else {}
    return values.get("model_type", "bert")


# Our outputs, as most golden cases name them.
NAMES = {
    "prediction_logits": "mlm_logits",
    "seq_relationship_logits": "nsp_logits",
    "last_hidden_state": "sequence_output",
    "pooler_output": "pooled_output",
}
CASES = _cases() or ["absent"]


class Golden:
    """One case: its checkpoint, inputs and stored outputs."""

    def __init__(self, name: str):
        self.folder = shared("goldens", name)
        self.case = json.loads((self.folder / "case.json").read_text())
        self.inputs = dict(np.load(self.folder / "inputs.npz"))
        self.outputs = dict(np.load(self.folder / "outputs.npz"))

    @property
    def model_class(self) -> type:
        name = self.case.get("model_class") or CLASSES.get(self.case["task"])
        return MODELS[name or "BertModel"]

    @property
    def features(self) -> dict:
        names = ("input_ids", "attention_mask", "token_type_ids", "masked_lm_positions")
        return {name: self.inputs[name] for name in names if name in self.inputs}

    def load(self):
        return self.model_class.from_pretrained(
            self.folder, output_hidden_states=True, output_attentions=True
        )


@pytest.fixture(scope="module", params=CASES)
def golden(request) -> Golden:
    if request.param == "absent":
        shared("goldens")
    return Golden(request.param)


def _numpy(x) -> np.ndarray:
    return keras.ops.convert_to_numpy(x)


def _named(golden: Golden, outputs: dict) -> dict[str, np.ndarray]:
    """Our outputs under the names of the golden files."""
    states, attentions = outputs["hidden_states"], outputs["attentions"]
    named = {"embeddings": states[0]}
    named |= {f"hidden_{i}": x for i, x in enumerate(states[1:])}
    named |= {f"attention_{i}": x for i, x in enumerate(attentions)}
    named |= {NAMES.get(key, key): x for key, x in outputs.items()}
    return {
        key: _numpy(x)
        for key, x in named.items()
        if key not in ("hidden_states", "attentions")
    }


def _expected(golden: Golden) -> dict[str, np.ndarray]:
    """Stored arrays that are outputs of the model, not losses or log-probabilities."""
    leave_out = ("loss", "log_probs", "probabilities")
    return {
        NAMES.get(key, key): value
        for key, value in golden.outputs.items()
        if not key.endswith(leave_out)
    }


def test_outputs_equal_the_original(golden):
    outputs = _named(golden, golden.load()(golden.features))
    for name, expected in _expected(golden).items():
        # The encoder's outputs are stored beside every head's.
        if name in ("sequence_output", "pooled_output") and name not in outputs:
            continue
        # Google stores masked positions flat, as (batch predictions, vocab).
        actual = outputs[name].reshape(expected.shape)
        assert_close(actual, expected, name=name)


SENTENCES = {
    "next_sentence_label": "seq_relationship_logits",
    "sentence_order_label": "sop_logits",
}


def _labels(golden: Golden) -> tuple[dict, dict | None]:
    """Labels and weights by our output names."""
    data = golden.inputs
    if "masked_lm_ids" in data:
        labels = {
            "prediction_logits": data["masked_lm_ids"],
            "seq_relationship_logits": data["next_sentence_labels"][:, 0],
        }
        return labels, {"prediction_logits": data["masked_lm_weights"]}
    for name, output in SENTENCES.items():
        if name in data:
            labels = {"prediction_logits": data["labels"], output: data[name]}
            return labels, None
    if "start_positions" in data:
        names = ("start", "end")
        return {f"{n}_logits": data[f"{n}_positions"] for n in names}, None
    labels = data["labels"]
    if golden.case.get("task") == "rtd":  # which leaves padding out by itself
        labels = np.where(data["attention_mask"] > 0, labels, -100)
    return {"logits": labels}, None


def test_loss_equals_the_original(golden):
    stored = golden.outputs.get("total_loss", golden.outputs.get("loss"))
    if stored is None:
        learned = golden.model_class.objectives(golden.load().config)
        assert not learned or "labels" not in golden.inputs
        return
    labels, weights = _labels(golden)
    batch = (golden.features, labels, weights)
    total, _ = BatchLoss(golden.load())(batch, training=False)
    # Google adds 1e-5 to the sum of masked-LM weights; we divide by the sum alone.
    slack = 1e-5 * float(stored) if "total_loss" in golden.outputs else 0.0
    assert abs(float(_numpy(total)) - float(stored)) <= bound(stored) + slack
