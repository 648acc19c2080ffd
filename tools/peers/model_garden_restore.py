"""Restores TF2 checkpoints with the Model Garden's classes, in its environment.

Prints a line of JSON for every case; see `tools/peer_check.py`.
"""

import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras
from official.nlp.modeling import layers, models, networks

GARDEN = f"tf-models-official {importlib.metadata.version('tf-models-official')}"
VERSIONS = {1: "BertEncoder", 2: "BertEncoderV2"}


def _gelu(x: tf.Tensor) -> tf.Tensor:
    return tf_keras.activations.gelu(x, approximate=True)


def _encoder(config: dict, version: int):
    sizes = {
        "vocab_size": config["vocab_size"],
        "hidden_size": config["hidden_size"],
        "num_layers": config["num_hidden_layers"],
        "num_attention_heads": config["num_attention_heads"],
        "max_sequence_length": config["max_position_embeddings"],
        "type_vocab_size": config["type_vocab_size"],
    }
    if version == 1:
        inner = {"intermediate_size": config["intermediate_size"], "activation": _gelu}
        return networks.BertEncoder(**sizes, **inner, dict_outputs=True)
    inner = {"inner_dim": config["intermediate_size"], "inner_activation": _gelu}
    encoder = networks.BertEncoderV2(**sizes, **inner)
    encoder(encoder.inputs)  # creates the variables
    return encoder


def _pretrainer(encoder, config: dict):
    head = layers.ClassificationHead(
        config["hidden_size"], 2, dropout_rate=0.0, name="next_sentence"
    )
    return models.BertPretrainerV2(
        encoder, classification_heads=[head], mlm_activation=_gelu
    )


HEADS = {
    "BertModel": lambda encoder, config: encoder,
    "BertForPreTraining": _pretrainer,
    "BertForSequenceClassification": lambda e, c: models.BertClassifier(
        e, c["num_labels"], dropout_rate=0.0
    ),
    "BertForTokenClassification": lambda e, c: models.BertTokenClassifier(
        e, c["num_labels"], dropout_rate=0.0
    ),
    "BertForQuestionAnswering": lambda e, c: models.BertSpanLabeler(e),
}


def _inputs(case: Path, head: str) -> dict[str, tf.Tensor]:
    stored = np.load(case / "inputs.npz")
    inputs = {
        "input_word_ids": stored["input_ids"],
        "input_mask": stored["attention_mask"],
        "input_type_ids": stored["token_type_ids"],
    }
    if head == "BertForPreTraining":
        batch, length = stored["input_ids"].shape
        positions = np.tile(np.arange(length, dtype="int32"), (batch, 1))
        inputs["masked_lm_positions"] = positions
    return {name: tf.constant(value) for name, value in inputs.items()}


def _outputs(made, head: str) -> dict[str, np.ndarray]:
    """Returns outputs by the expected names; heads return tensors, lists or dicts."""
    names = {
        "sequence_output": "sequence_output",
        "pooled_output": "pooled_output",
        "mlm_logits": "mlm_logits",
        "next_sentence": "nsp_logits",
        "start_logits": "start_logits",
        "end_logits": "end_logits",
        "logits": "logits",
    }
    if head == "BertForQuestionAnswering" and not isinstance(made, dict):
        made = dict(zip(("start_logits", "end_logits"), made, strict=True))
    if not isinstance(made, dict):
        made = {"logits": made}
    if head == "BertForPreTraining":  # which does not use the encoder's own pooler
        made = {k: v for k, v in made.items() if k in ("mlm_logits", "next_sentence")}
    return {names[k]: np.asarray(v) for k, v in made.items() if k in names}


def check(case: Path, version: int) -> dict:
    """Builds the model, restores a checkpoint, runs it and compares the outputs."""
    head = (case / "head").read_text()
    config = {"num_labels": 7, "type_vocab_size": 2}
    config |= json.loads((case / "bert_config.json").read_text())
    model = HEADS[head](_encoder(config, version), config)
    inputs = _inputs(case, head)
    model(inputs)  # creates the variables
    is_encoder = head == "BertModel"
    items = (
        {"encoder": model} if is_encoder else {"model": model, **model.checkpoint_items}
    )
    checkpoint = tf.train.Checkpoint(**items)
    missing = []
    status = checkpoint.read(str(case / "bert_model.ckpt"))
    try:
        status.assert_existing_objects_matched()
    except AssertionError as error:
        missing = [" ".join(str(error).split())[:200]]
    expected = np.load(case / "expected.npz")
    found = _outputs(model(inputs), head)
    apart = [
        np.abs(expected[k] - v.reshape(expected[k].shape)) for k, v in found.items()
    ]
    return {
        "version": f"{GARDEN}, {VERSIONS[version]}",
        "case": case.name,
        "missing": missing,
        "unexpected": [],
        "difference": float(max(values.max() for values in apart)),
    }


for folder in sorted(Path(sys.argv[1]).iterdir()):
    for which in VERSIONS:
        print(json.dumps(check(folder, which)))
