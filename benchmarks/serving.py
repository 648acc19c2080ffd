"""Measures serving on CPU: real tokens per CPU-second, and latency of one row.

Each variant has one thread; the CPU time of all threads is counted, the variants take
turns, and the median round is reported. The texts are 256 rows of lognormal length
around 40 tokens, in batches of 32: in random order, padded to 128 ("unsorted"), or
sorted by length and padded to a multiple of 16 ("bucketed"). Weights are random.

    python benchmarks/serving.py
    python benchmarks/serving.py --size base --rows 64
    python benchmarks/serving.py --peer-python …/bin/python

`--peer-python` names a Python with torch, transformers, onnxscript, onnxruntime and
openvino, and also measures the latter two.
"""

import os

os.environ |= {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tensorflow as tf
from mixed_lengths import (
    LONGEST,
    REPEATED,
    ROWS,
    SIZES,
    VOCAB_SIZE,
    Batch,
    cases,
    config_fields,
    lengths,
)

import keras_bert
from keras_bert import BertTokenizer
from keras_bert.families.bert import BertConfig
from keras_bert.features import SERVED_INPUTS
from keras_bert.serving.export import export
from keras_bert.serving.predictor import Predictor

PACKAGES = ("tensorflow", "keras", "keras-hub", "numpy")
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
CASES = ("unsorted", "bucketed", "one row")
PEERS = Path(__file__).with_name("serving_peers.py")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
Case = Sequence[Batch] | Sequence[str]
Variant = Callable[[str], float]  # from the name of a case to CPU seconds


def config(size: str) -> BertConfig:
    """Returns the config of a size."""
    return BertConfig(**config_fields(size))


def timed(function: Callable[[Batch], object], work: Mapping[str, Case]) -> Variant:
    """Returns a function that computes a case and returns its CPU seconds."""

    def measure(case: str) -> float:
        start = time.process_time()
        for inputs in work[case]:
            function(inputs)
        return time.process_time() - start

    return measure


def tensors(inputs: Batch) -> list[tf.Tensor]:
    """Returns a batch as TensorFlow tensors."""
    return [tf.constant(x) for x in inputs]


def saved_model(size: str, policy: str, folder: str) -> Callable[[Batch], object]:
    """Returns `serve_ids` of an exported encoder."""
    model = keras_bert.BertModel(config(size), dtype=policy, seed=0)
    path = export(model, Path(folder) / policy)
    serve = tf.saved_model.load(str(path)).signatures["serve_ids"]

    def run(inputs: Batch) -> np.ndarray:
        named = dict(zip(SERVED_INPUTS, tensors(inputs), strict=True))
        return serve(**named)["last_hidden_state"].numpy()

    return run


def padded(size: str, policy: str) -> Callable[[Batch], object]:
    """Returns the same encoder as a traced function of the Keras model."""
    model = keras_bert.BertModel(config(size), dtype=policy, seed=0)
    spec = [tf.TensorSpec([None, None], tf.int32)] * 3

    @tf.function(input_signature=spec, autograph=False)
    def forward(*inputs):
        features = dict(zip(SERVED_INPUTS, inputs, strict=True))
        return model(features, training=False)["last_hidden_state"]

    return lambda inputs: forward(*tensors(inputs)).numpy()


def keras_hub(size: str, policy: str) -> tuple[Callable, Callable]:
    """Returns KerasHub's encoder as a traced function, and its `predict`."""
    import keras_hub

    hidden, layers, heads, inner = SIZES[size]
    model = keras_hub.models.BertBackbone(
        vocabulary_size=VOCAB_SIZE,
        num_layers=layers,
        num_heads=heads,
        hidden_dim=hidden,
        intermediate_dim=inner,
        dtype=policy,
    )
    keys = ("token_ids", "padding_mask", "segment_ids")
    spec = [tf.TensorSpec([None, None], tf.int32)] * 3

    @tf.function(input_signature=spec, autograph=False)
    def forward(*inputs):
        features = dict(zip(keys, inputs, strict=True))
        return model(features, training=False)["sequence_output"]

    def predict(inputs: Batch) -> np.ndarray:
        return model.predict(dict(zip(keys, inputs, strict=True)), verbose=0)

    return lambda inputs: forward(*tensors(inputs)).numpy(), predict


def predictor(size: str, policy: str) -> Callable[[list[str]], object]:
    """Returns the `Predictor` of a classifier, on texts."""
    words = [f"w{i}" for i in range(VOCAB_SIZE - len(SPECIAL))]
    model = keras_bert.BertForSequenceClassification(config(size), dtype=policy, seed=0)
    return Predictor(model, BertTokenizer(SPECIAL + words), batch_size=ROWS)


def texts(count: int) -> dict[str, list[list[str]]]:
    """Returns texts of the same lengths as the batches, for `predictor`."""
    rng = np.random.default_rng(0)

    def text(tokens: int) -> str:
        drawn = rng.integers(VOCAB_SIZE - len(SPECIAL), size=tokens - 2)
        return " ".join(f"w{i}" for i in drawn)

    return {
        "unsorted": [[text(n) for n in lengths(count)]],
        "one row": [[text(LONGEST)]] * REPEATED,
    }


class Peers:
    """The variants of `serving_peers.py`, in a separate process."""

    def __init__(self, python: str, size: str, count: int):
        command = [python, str(PEERS), size, str(count)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.names, self.versions = self._answer()

    def _answer(self) -> object:
        for line in self._process.stdout:
            if line.startswith(("[", "0", *"123456789")):
                return json.loads(line)
        raise SystemExit(f"{PEERS.name} ended with {self._process.wait()}.")

    def variant(self, name: str) -> Variant:
        """Returns the function that measures a variant."""

        def measure(case: str) -> float:
            print(json.dumps([name, case]), file=self._process.stdin, flush=True)
            return self._answer()

        return measure


def variants(args: argparse.Namespace, folder: str) -> Iterator[tuple[str, Variant]]:
    """Yields the variants by name."""
    work, written = cases(args.rows), texts(args.rows)
    for precision, policy in POLICIES.items():
        saved = saved_model(args.size, policy, folder)
        yield f"SavedModel serve_ids {precision}", timed(saved, work)
        predict = predictor(args.size, policy)
        yield f"Predictor, from text {precision}", timed(predict, written)
        function = padded(args.size, policy)
        yield f"padded tf.function {precision}", timed(function, work)
        function, predict = keras_hub(args.size, policy)
        yield f"KerasHub tf.function {precision}", timed(function, work)
        if policy == "float32":
            yield f"KerasHub predict {precision}", timed(predict, work)


def measure(measured: Mapping[str, Variant], case: str, rounds: int) -> dict:
    """Measures variants in turns; returns the median CPU seconds of each.

    Args:
        measured: the variants.
        case: what to compute; variants without it are skipped.
        rounds: how many to count, after two that are not counted.
    """
    taken: dict[str, list[float]] = {}
    for _ in range(rounds + 2):
        for name, variant in measured.items():
            try:
                taken.setdefault(name, []).append(variant(case))
            except KeyError:
                taken.pop(name)
    return {name: statistics.median(times[2:]) for name, times in taken.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="mini")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--peer-python", metavar="PYTHON")
    return parser


def main() -> None:
    """Prints one line of JSON for every variant and case."""
    args = _parser().parse_args()
    reported = {name: version(name) for name in PACKAGES}
    reported["python"] = platform.python_version()
    with tempfile.TemporaryDirectory() as folder:
        measured = dict(variants(args, folder))
        if args.peer_python:
            peers = Peers(args.peer_python, args.size, args.rows)
            measured |= {name: peers.variant(name) for name in peers.names}
            reported |= peers.versions
        tokens = int(lengths(args.rows).sum())
        for case in args.cases:
            for name, seconds in measure(measured, case, args.rounds).items():
                figure = (
                    {"ms": round(seconds / REPEATED * 1e3, 2)}
                    if case == "one row"
                    else {"tokens_per_cpu_s": round(tokens / seconds)}
                )
                print(json.dumps({"case": case, "what": name, **figure}), flush=True)
    load = os.getloadavg()[0]
    print(json.dumps({"size": args.size, "rows": args.rows, "load": load, **reported}))


if __name__ == "__main__":
    sys.exit(main())
