"""Compares converted checkpoints with their originals, in a separate process.

Reads a JSON list of `{"name", "path", "original"}`, and writes one with the largest
differences of weights and outputs.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import keras_bert
from keras_bert.models import MODELS


def outputs(model) -> list[np.ndarray]:
    """Runs a model on different rows, padding included."""
    rng = np.random.default_rng(0)
    ids = rng.integers(1, model.config.vocab_size, (3, 13)).astype("int32")
    ids[1, 7:] = model.config.pad_token_id
    types = rng.integers(0, model.config.type_vocab_size, (3, 13)).astype("int32")
    result = model({"input_ids": ids, "token_type_ids": types})
    values = result.values() if isinstance(result, dict) else [result]
    return [np.asarray(value) for value in values]


def largest(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """Returns the largest absolute difference between two lists of arrays."""
    pairs = zip(ours, theirs, strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def compare(name: str, path: str, original: str) -> dict:
    """Loads both and compares them."""
    with open(f"{original}/config.json", encoding="utf-8") as file:
        model_class = MODELS[json.load(file)["architectures"][0]]
    ours, theirs = map(model_class.from_pretrained, (path, original))
    weights = [[np.asarray(w) for w in model.weights] for model in (ours, theirs)]
    return {
        "name": name,
        "weights": largest(*weights),
        "outputs": largest(outputs(ours), outputs(theirs)),
        "version": keras_bert.__version__,
    }


if __name__ == "__main__":
    json.dump([compare(**item) for item in json.load(sys.stdin)], sys.stdout)
