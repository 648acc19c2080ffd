"""Restores TF1 checkpoints with Google's code, in an environment with tf_keras.

Google's code is from 2019. What TensorFlow 2 no longer has is substituted: `tf` is
`tf.compat.v1`, and `tf.contrib.layers.layer_norm` a short reimplementation.

Prints a line of JSON for every case; see `tools/peer_check.py`.
"""

import importlib
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np


def _layer_norm(inputs, begin_norm_axis, begin_params_axis, scope=None):
    import tensorflow.compat.v1 as v1

    with v1.variable_scope(scope, default_name="LayerNorm"):
        shape = inputs.shape[-1:]
        beta = v1.get_variable("beta", shape, initializer=v1.zeros_initializer())
        gamma = v1.get_variable("gamma", shape, initializer=v1.ones_initializer())
    mean, variance = v1.nn.moments(inputs, [-1], keepdims=True)
    return v1.nn.batch_normalization(inputs, mean, variance, beta, gamma, 1e-12)


def google_module(name: str, code: str):
    """Imports one of Google's modules under the TensorFlow it was written for."""
    import tensorflow.compat.v1 as v1

    old = types.ModuleType("tensorflow")
    old.__dict__.update({key: getattr(v1, key) for key in dir(v1)})
    old.layers = v1.layers
    old.contrib = types.SimpleNamespace(
        layers=types.SimpleNamespace(layer_norm=_layer_norm)
    )
    new, sys.modules["tensorflow"] = sys.modules["tensorflow"], old
    sys.path.insert(0, code)
    try:
        return importlib.import_module(name)
    finally:
        sys.modules["tensorflow"] = new


# === The graphs of Google's programs ===


def _encoder(code, config, ids, mask, types_):
    modeling = google_module("modeling", code)
    model = modeling.BertModel(config, False, ids, mask, types_)
    return {
        "sequence_output": model.get_sequence_output(),
        "pooled_output": model.get_pooled_output(),
    }


def _pretraining(code, config, ids, mask, types_):
    import tensorflow.compat.v1 as v1

    run = google_module("run_pretraining", code)
    model = run.modeling.BertModel(config, False, ids, mask, types_)
    batch, length = ids.shape.as_list()
    positions = v1.constant(np.tile(np.arange(length, dtype="int32"), (batch, 1)))
    nothing = v1.zeros([batch, length])
    words = model.get_sequence_output(), model.get_embedding_table()
    zeros = v1.cast(nothing, "int32")
    mlm = run.get_masked_lm_output(config, *words, positions, zeros, nothing)[-1]
    labels = v1.zeros([batch, 1], "int32")
    nsp = run.get_next_sentence_output(config, model.get_pooled_output(), labels)[-1]
    vocabulary = v1.reshape(mlm, [batch, length, config.vocab_size])
    return {"mlm_logits": vocabulary, "nsp_logits": nsp}  # log-softmax


def _classifier(code, config, ids, mask, types_):
    import tensorflow.compat.v1 as v1

    run = google_module("run_classifier", code)
    labels = v1.zeros([ids.shape.as_list()[0]], "int32")
    made = run.create_model(config, False, ids, mask, types_, labels, 7, False)
    return {"logits": made[2]}


def _squad(code, config, ids, mask, types_):
    run = google_module("run_squad", code)
    start, end = run.create_model(config, False, ids, mask, types_, False)
    return {"start_logits": start, "end_logits": end}


BUILDERS = {
    "BertModel": _encoder,
    "BertForPreTraining": _pretraining,
    "BertForSequenceClassification": _classifier,
    "BertForQuestionAnswering": _squad,
}
LOG_SOFTMAX = ("mlm_logits", "nsp_logits")  # what the program returns for these
# Google's models always build a pooler; spans do not use it, so it is initialized.
UNUSED = {"BertForQuestionAnswering": "bert/pooler/"}


def check(case: Path, code: str) -> dict:
    """Builds Google's graph, restores a checkpoint, compares the outputs."""
    import tensorflow.compat.v1 as v1

    v1.disable_v2_behavior()
    head = (case / "head").read_text()
    modeling = google_module("modeling", code)
    config = modeling.BertConfig.from_json_file(str(case / "bert_config.json"))
    inputs = np.load(case / "inputs.npz")
    names = ("input_ids", "attention_mask", "token_type_ids")
    prefix = str(case / "bert_model.ckpt")
    with v1.Graph().as_default(), v1.Session() as session:
        outputs = BUILDERS[head](code, config, *(v1.constant(inputs[n]) for n in names))
        variables = v1.trainable_variables()
        found, _ = modeling.get_assignment_map_from_checkpoint(variables, prefix)
        v1.train.init_from_checkpoint(prefix, found)
        session.run(v1.global_variables_initializer())
        computed = session.run(outputs)
    stored = {name for name, _ in v1.train.list_variables(prefix)}
    made = {variable.name.removesuffix(":0") for variable in variables}
    lost, unused = made - found.keys(), UNUSED.get(head, "none")
    import tensorflow

    return {
        "version": f"google-research/bert, TensorFlow {tensorflow.__version__}",
        "case": case.name,
        "missing": sorted(name for name in lost if not name.startswith(unused)),
        "unexpected": sorted(stored - found.keys()),
        "difference": max(_apart(case, name, x) for name, x in computed.items()),
    }


def _apart(case: Path, name: str, found: np.ndarray) -> float:
    expected = np.load(case / "expected.npz")[name].astype("float64")
    if name in LOG_SOFTMAX:
        top = expected.max(-1, keepdims=True)
        expected = (
            expected - top - np.log(np.exp(expected - top).sum(-1, keepdims=True))
        )
    return float(np.abs(expected - found.reshape(expected.shape)).max())


def main() -> None:
    """Checks every case in its own process: Google's flags can be defined only once."""
    cases, code, *single = sys.argv[1:]
    if single:
        print(json.dumps(check(Path(cases) / single[0], code)))
        return
    for folder in sorted(Path(cases).iterdir()):
        command = [sys.executable, __file__, cases, code, folder.name]
        subprocess.run(command, check=True)


main()
