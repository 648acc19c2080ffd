"""Measures training steps of several libraries, in tokens per CPU-second on one thread.

Each variant runs in a separate process; the processes take turns, A B C A B C, and
measure their own CPU time, so other work on the machine affects all of them equally. A
table in Markdown reports the medians.

    python benchmarks/training_step.py                             # ours, mini
    python benchmarks/training_step.py --size base --rounds 3
    python benchmarks/training_step.py --task classification --peers keras_hub torch
    python benchmarks/training_step.py --peers google --google-code ~/src/bert
    python benchmarks/training_step.py --size base --seq 512 --checkpointing --rounds 1

Peers: `google`, the graph of Google's `modeling.py` under `tf.compat.v1`, from a
checkout of google-research/bert; `keras_hub`, its `fit`; `torch`, transformers in eager
mode.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mixed_lengths import SIZES, VOCAB_SIZE, config_fields

BATCH, PREDICTIONS = 8, 20
RATE, DECAY, CLIP = 5e-5, 0.01, 1.0
STEPS = {"tiny": 8, "mini": 8, "base": 1}  # per turn
TASKS = ("pretraining", "classification")
PEERS = ("google", "keras_hub", "torch")
THREADS = ("OMP", "MKL", "OPENBLAS", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")


@dataclass(frozen=True)
class Variant:
    """What one process measures.

    Args:
        stack: `keras_bert` (the loop's step), `keras_bert fit`, or a peer.
        size: of the model.
        task: pretraining with both heads, or classification.
        dtype: float32 or bfloat16.
        google_code: directory of Google's modules.
        jit: compile the step with XLA.
        seq: tokens per row.
        checkpointing: of activations, for `keras_bert` only.
    """

    stack: str
    size: str
    task: str
    dtype: str
    google_code: str | None = None
    jit: bool = False
    seq: int = 128
    checkpointing: bool = False

    @property
    def policy(self) -> str:
        return "float32" if self.dtype == "float32" else f"mixed_{self.dtype}"

    @property
    def pretraining(self) -> bool:
        return self.task == "pretraining"


def batches(variant: Variant) -> dict[str, np.ndarray]:
    """Returns the data of a turn, arrays `(steps, batch, …)` without padding."""
    rng = np.random.default_rng(0)
    rows, seq = (STEPS[variant.size], BATCH), variant.seq
    order = rng.permuted(np.broadcast_to(np.arange(seq), (*rows, seq)), axis=-1)
    return {
        "input_ids": rng.integers(1000, VOCAB_SIZE, (*rows, seq), "int32"),
        "attention_mask": np.ones((*rows, seq), "int32"),
        "token_type_ids": np.zeros((*rows, seq), "int32"),
        "positions": np.sort(order[..., :PREDICTIONS]).astype("int32"),
        "words": rng.integers(1000, VOCAB_SIZE, (*rows, PREDICTIONS), "int32"),
        "labels": rng.integers(0, 2, rows, "int32"),
    }


# === Ours ===


def _our_model(variant: Variant) -> Any:
    import keras_bert

    activation = "gelu_new" if variant.pretraining else "gelu"  # as the peers
    config = keras_bert.BertConfig(**config_fields(variant.size), hidden_act=activation)
    kind = "PreTraining" if variant.pretraining else "SequenceClassification"
    made = getattr(keras_bert, f"BertFor{kind}")(config, dtype=variant.policy, seed=0)
    made.encoder.activation_checkpointing = variant.checkpointing
    return made


def _our_data(variant: Variant) -> Any:
    import tensorflow as tf

    data = batches(variant)
    names = ("input_ids", "attention_mask", "token_type_ids")
    features, labels = {name: data[name] for name in names}, data["labels"]
    if variant.pretraining:
        features["masked_lm_positions"] = data["positions"]
        labels = {"prediction_logits": data["words"], "seq_relationship_logits": labels}
    return tf.data.Dataset.from_tensor_slices((features, labels)).cache()


def _our_optimizer() -> Any:
    from keras_bert.optimizers import AdamW

    return AdamW(RATE, weight_decay=DECAY, clip_norm=CLIP)


def our_step(variant: Variant) -> Callable[[], Any]:
    """The step of the training loop."""
    import tensorflow as tf

    from keras_bert.training.accumulation import gradients
    from keras_bert.training.step import BatchLoss

    model, data, optimizer = _our_model(variant), _our_data(variant), _our_optimizer()
    variables, objective = model.trainable_variables, BatchLoss(model)
    optimizer.build(variables)

    @tf.function(jit_compile=variant.jit)
    def step(*batch):
        found, loss, _ = gradients(objective, batch, variables)
        optimizer.apply(found, variables)
        return loss

    return lambda: [float(step(*batch)) for batch in data]


def our_fit(variant: Variant) -> Callable[[], Any]:
    """`model.fit` with the same optimizer."""
    model, data = _our_model(variant), _our_data(variant)
    model.compile(_our_optimizer(), **({"jit_compile": True} if variant.jit else {}))
    return lambda: model.fit(data, verbose=0).history["loss"]


# === Peers ===


def keras_hub_fit(variant: Variant) -> Callable[[], Any]:
    """KerasHub's `fit`; for pretraining its masked LM, without next sentences."""
    import keras
    import keras_hub
    import tensorflow as tf

    hidden, layers, heads, intermediate = SIZES[variant.size]
    data = batches(variant)
    backbone = keras_hub.models.BertBackbone(
        VOCAB_SIZE,
        layers,
        heads,
        hidden,
        intermediate,
        dropout=0.1,
        dtype=variant.policy,
    )
    features = {
        "token_ids": data["input_ids"],
        "padding_mask": data["attention_mask"],
        "segment_ids": data["token_type_ids"],
    }
    if variant.pretraining:
        model = keras_hub.models.BertMaskedLM(backbone, preprocessor=None)
        features["mask_positions"], labels = data["positions"], data["words"]
    else:
        model = keras_hub.models.BertTextClassifier(backbone, 2, preprocessor=None)
        labels = data["labels"]
    model.compile(
        keras.optimizers.AdamW(RATE, weight_decay=DECAY),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=variant.jit,
    )
    pairs = tf.data.Dataset.from_tensor_slices((features, labels)).cache()
    return lambda: model.fit(pairs, verbose=0).history["loss"]


def torch_step(variant: Variant) -> Callable[[], Any]:
    """transformers in PyTorch, eager; masked positions are gathered explicitly."""
    import torch
    import transformers

    torch.set_num_threads(1)
    config = transformers.BertConfig(**config_fields(variant.size))
    kind = "PreTraining" if variant.pretraining else "SequenceClassification"
    model = getattr(transformers, f"BertFor{kind}")(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
    data = {k: torch.tensor(v).long() for k, v in batches(variant).items()}
    crossentropy = torch.nn.functional.cross_entropy

    def loss(batch: dict) -> Any:
        names = ("input_ids", "attention_mask", "token_type_ids")
        inputs = {name: batch[name] for name in names}
        if not variant.pretraining:
            return model(**inputs, labels=batch["labels"]).loss
        out = model.bert(**inputs)
        places = batch["positions"][:, :, None].expand(-1, -1, config.hidden_size)
        words, next_sentence = model.cls(
            out.last_hidden_state.gather(1, places), out.pooler_output
        )
        mlm = crossentropy(words.flatten(0, 1), batch["words"].flatten())
        return mlm + crossentropy(next_sentence, batch["labels"])

    def step(batch: dict) -> float:
        optimizer.zero_grad(set_to_none=True)
        mixed = variant.dtype == "bfloat16"
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            value = loss(batch)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return float(value.detach())

    steps = range(STEPS[variant.size])
    return lambda: [step({k: v[i] for k, v in data.items()}) for i in steps]


# === Google's graph ===


def _dense(inputs, units, activation=None, name=None, kernel_initializer=None):
    """`tf.layers.dense` of TensorFlow 1, for matrices."""
    import tensorflow.compat.v1 as v1

    with v1.variable_scope(name, default_name="dense"):
        shape = [inputs.shape[-1], units]
        kernel = v1.get_variable("kernel", shape, initializer=kernel_initializer)
        bias = v1.get_variable("bias", [units], initializer=v1.zeros_initializer())
    outputs = v1.nn.bias_add(v1.matmul(inputs, kernel), bias)
    return activation(outputs) if activation else outputs


def _layer_norm(inputs, begin_norm_axis, begin_params_axis, scope=None):
    """`tf.contrib.layers.layer_norm` of TensorFlow 1."""
    import tensorflow.compat.v1 as v1

    with v1.variable_scope(scope, default_name="LayerNorm"):
        shape = inputs.shape[-1:]
        beta = v1.get_variable("beta", shape, initializer=v1.zeros_initializer())
        gamma = v1.get_variable("gamma", shape, initializer=v1.ones_initializer())
    mean, variance = v1.nn.moments(inputs, [-1], keepdims=True)
    return v1.nn.batch_normalization(inputs, mean, variance, beta, gamma, 1e-12)


def _google_modules(code: str) -> tuple[Any, Any, Any]:
    """Imports Google's modules under the TensorFlow they were written for."""
    import tensorflow.compat.v1 as v1

    v1.disable_v2_behavior()
    old = types.ModuleType("tensorflow")
    old.__dict__.update({k: getattr(v1, k) for k in dir(v1) if k != "layers"})
    old.layers = types.SimpleNamespace(dense=_dense)
    old.contrib = types.SimpleNamespace(
        layers=types.SimpleNamespace(layer_norm=_layer_norm)
    )
    new, sys.modules["tensorflow"] = sys.modules["tensorflow"], old
    sys.path.insert(0, code)
    try:
        import modeling
        import optimization
        import run_pretraining
    finally:
        sys.modules["tensorflow"] = new
    return modeling, optimization, run_pretraining


def google_graph(variant: Variant) -> Callable[[], Any]:
    """Google's model and optimizer, the model function of `run_pretraining.py`."""
    import tensorflow.compat.v1 as v1

    modeling, optimization, run = _google_modules(variant.google_code)
    hidden, layers, heads, intermediate = SIZES[variant.size]
    config = modeling.BertConfig(VOCAB_SIZE, hidden, layers, heads, intermediate)
    data = batches(variant)
    fed = {k: v1.placeholder(v1.int32, x.shape[1:]) for k, x in data.items()}
    model = modeling.BertModel(
        config, True, fed["input_ids"], fed["attention_mask"], fed["token_type_ids"]
    )
    pooled = model.get_pooled_output()
    if variant.pretraining:
        words = model.get_sequence_output(), model.get_embedding_table()
        ones = v1.ones([BATCH, PREDICTIONS])
        labels = fed["positions"], fed["words"], ones
        mlm = run.get_masked_lm_output(config, *words, *labels)[0]
        loss = mlm + run.get_next_sentence_output(config, pooled, fed["labels"])[0]
    else:
        initializer = modeling.create_initializer(0.02)
        logits = _dense(v1.nn.dropout(pooled, 0.9), 2, None, "head", initializer)
        loss = v1.losses.sparse_softmax_cross_entropy(fed["labels"], logits)
    train = optimization.create_optimizer(loss, RATE, 10_000, 100, False)
    session = v1.Session(
        config=v1.ConfigProto(
            intra_op_parallelism_threads=1, inter_op_parallelism_threads=1
        )
    )
    session.run(v1.global_variables_initializer())
    steps = range(STEPS[variant.size])
    feeds = [{fed[k]: x[i] for k, x in data.items()} for i in steps]
    return lambda: [float(session.run([loss, train], feed)[0]) for feed in feeds]


STACKS = {
    "keras_bert": our_step,
    "keras_bert fit": our_fit,
    "keras_hub": keras_hub_fit,
    "torch": torch_step,
    "google": google_graph,
}

# === Turns ===


def serve(variant: Variant) -> None:
    """Runs a variant in this process: one turn per line of input.

    Prints a line of JSON after each: CPU seconds per step, the loss, and the peak
    memory of the process.
    """
    run = STACKS[variant.stack](variant)
    run(), run()  # compile, and fill caches
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        losses = run()
        spent = (time.process_time() - start) / STEPS[variant.size]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        line = {"cpu_s": spent, "loss": losses[-1], "peak_mb": peak}
        print(json.dumps(line), flush=True)


def _process(variant: Variant, verbose: bool) -> subprocess.Popen:
    settings = {f"{name}_NUM_THREADS": "1" for name in THREADS[:3]}
    settings |= {f"{name}_THREADS": "1" for name in THREADS[3:]}
    settings |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    return subprocess.Popen(
        [sys.executable, __file__, "--serve", json.dumps(asdict(variant))],
        env=os.environ | settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if verbose else subprocess.DEVNULL,
        text=True,
    )


def _answer(process: subprocess.Popen) -> dict:
    for line in process.stdout:
        if line.startswith("{"):
            return json.loads(line)
    raise SystemExit(
        f"{process.args[-1]} ended with status {process.wait()}; see --verbose."
    )


def take_turns(
    variants: list[Variant], rounds: int, verbose: bool = False
) -> list[list[dict]]:
    """Returns the measurements of each variant in each of its turns."""
    processes = []
    try:
        for variant in variants:  # one at a time: compilation takes a core
            processes.append(_process(variant, verbose))
            _answer(processes[-1])
        turns = [[] for _ in variants]
        for _ in range(rounds):
            for process, said in zip(processes, turns, strict=True):
                with suppress(BrokenPipeError):  # it ended, and `_answer` reports that
                    print(file=process.stdin, flush=True)
                said.append(_answer(process))
        return turns
    finally:
        for process in processes:
            process.kill()
            process.wait()


def table(variants: list[Variant], turns: list[list[dict]]) -> Iterator[str]:
    """Yields the lines of the table; ratios are to the first row."""
    yield "| step | dtype | CPU ms (least) | tokens per CPU-second | ratio | peak MB |"
    yield "|---|---|---|---|---|---|"
    times = [[turn["cpu_s"] for turn in said] for said in turns]
    medians = [statistics.median(spent) for spent in times]
    for variant, spent, median, said in zip(
        variants, times, medians, turns, strict=True
    ):
        row = (
            _label(variant),
            variant.dtype,
            f"{1e3 * median:.0f} ({1e3 * min(spent):.0f})",
            f"{BATCH * variant.seq / median:,.0f}",
            f"{medians[0] / median:.2f}",
            f"{said[-1]['peak_mb']:,.0f}",
        )
        yield f"| {' | '.join(row)} |"


def _label(variant: Variant) -> str:
    marks = {"XLA": variant.jit, "checkpointing": variant.checkpointing}
    marked = [name for name, on in marks.items() if on]
    where = f"{variant.task}, {variant.size}, 8 x {variant.seq}"
    return ", ".join([where, variant.stack, *marked])


def versions() -> str:
    """Returns the versions of the libraries."""
    from importlib.metadata import version

    names = ("tensorflow", "keras", "keras-hub", "torch", "transformers")
    found = [f"{name} {version(name)}" for name in names]
    return ", ".join([f"Python {platform.python_version()}", *found])


def _variants(args: argparse.Namespace) -> list[Variant]:
    stacks = [*args.peers, *args.ours]
    fixed = {"size": args.size, "task": args.task, "seq": args.seq}
    variants = [
        Variant(stack, dtype=dtype, google_code=args.google_code, **marks, **fixed)
        for marks in ({}, *_marks(args))
        for stack in stacks
        for dtype in args.dtypes
    ]
    return [variant for variant in variants if _exists(variant)]


def _marks(args: argparse.Namespace) -> list[dict]:
    return [{name: True} for name in ("jit", "checkpointing") if getattr(args, name)]


def _exists(variant: Variant) -> bool:
    # TensorFlow 1 had no policies.
    ours = variant.stack.startswith("keras_bert")
    unmarked = not (variant.jit or variant.checkpointing)
    return ours or (
        unmarked and (variant.stack, variant.dtype) != ("google", "bfloat16")
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="mini")
    parser.add_argument("--task", choices=TASKS, default="pretraining")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--ours", nargs="*", default=["keras_bert", "keras_bert fit"])
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=[])
    parser.add_argument("--google-code", help="a copy of google-research/bert")
    parser.add_argument("--jit", action="store_true", help="also with XLA")
    parser.add_argument("--checkpointing", action="store_true", help="also with it")
    parser.add_argument("--seq", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--verbose", action="store_true", help="show the output of processes"
    )
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    return parser


def main() -> None:
    """Measures the variants and prints the table."""
    args = _parser().parse_args()
    if args.serve:
        serve(Variant(**json.loads(args.serve)))
        return
    if "google" in args.peers and not Path(args.google_code or "").is_dir():
        raise SystemExit("Name a copy of google-research/bert with --google-code.")
    variants = _variants(args)
    turns = take_turns(variants, args.rounds, args.verbose)
    print(*table(variants, turns), sep="\n")
    load = "/".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"\n{versions()}; load {load}; median of {args.rounds} turns.")


if __name__ == "__main__":
    main()
