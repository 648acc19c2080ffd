"""What commands that train share about a run: its flags, checks, and its end.

A number that a recipe says too is a flag without a default, absent where it was not
given; `SETTINGS` names these. The others are arguments of `Plan` alone.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from keras_bert.errors import ConfigError, InputError, MissingExtraError

SETTINGS = (
    *("batch_size", "learning_rate", "weight_decay", "bias_correction"),
    *("optimizer", "schedule", "layer_decay", "ema_momentum"),
    *("gradient_accumulation_steps", "freeze_layers"),
)
_CIRCUMSTANCES = (
    *("distribution", "model_shards", "activation_checkpointing", "keep"),
    *("log_every", "evaluate_every", "checkpoint_every"),
    *("patience", "monitor", "min_delta"),
)
# Weights stay in float32: in 16 bits small steps would be lost.
DTYPES = ("float32", "mixed_bfloat16", "mixed_float16")
# What a recipe says too: absent where it was not given.
FLAG = {"default": argparse.SUPPRESS}


def add_run_arguments(
    parser: argparse.ArgumentParser, *, batch_size: int, learning_rate: float
) -> None:
    """Adds the arguments of every training run.

    Args:
        parser: of the command.
        batch_size, learning_rate: what they are where nothing says them.
    """
    add = parser.add_argument
    add(
        "--output",
        required=True,
        metavar="DIR",
        help="directory of the run; the same command goes on where it stopped",
    )
    add("--dtype", choices=DTYPES, help="dtype policy (float32)")
    add("--seed", type=int, default=12345, help="of weights, order and dropout")
    _add_steps(parser, batch_size, learning_rate)
    _add_devices(parser)
    _add_watching(parser)


def _add_steps(
    parser: argparse.ArgumentParser, batch_size: int, learning_rate: float
) -> None:
    add = partial(parser.add_argument_group("steps").add_argument, **FLAG)
    add("--batch-size", type=size, help=f"rows per step ({batch_size})")
    add("--learning-rate", type=float, help=f"the highest rate ({learning_rate:g})")
    add(
        "--schedule",
        metavar="NAME",
        help="of the rate: linear, polynomial, cosine or constant (linear)",
    )
    add("--optimizer", metavar="NAME", help="adamw, adam or lamb (adamw)")
    add("--weight-decay", type=float, help="share taken off per step (0.01)")
    add(
        "--bias-correction",
        action=argparse.BooleanOptionalAction,
        help="of Adam; Google's optimizer has none",
    )
    add(
        "--layer-decay", type=float, help="rate of a layer by that of the one above (1)"
    )
    add("--ema-momentum", type=float, help="keep an average of the weights")
    add(
        "--freeze-layers",
        type=int,
        metavar="N",
        help="train without the embeddings and the first N layers",
    )


def _add_devices(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("devices and memory").add_argument
    add(
        "--distribution",
        default="one",
        metavar="NAME",
        help="devices: one; on TensorFlow mirrored, multi_worker (TF_CONFIG) or tpu; "
        "on JAX data_parallel or model_parallel",
    )
    add("--model-shards", type=int, default=1, help="devices that share a model's copy")
    add(
        "--gradient-accumulation-steps",
        type=int,
        **FLAG,
        help="parts a batch is computed in, to save memory (1)",
    )
    add(
        "--activation-checkpointing",
        action="store_true",
        help="compute the inside of layers twice, to save memory",
    )


def _add_watching(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("log, checkpoints, early stopping").add_argument
    for name, default in (("log", 10), ("evaluate", 0), ("checkpoint", 1000)):
        add(f"--{name}-every", type=int, default=default, help="steps; 0: at the end")
    add("--keep", type=int, default=2, help="newest checkpoints kept, beside the best")
    add(
        "--patience",
        type=int,
        metavar="N",
        help="end after N evaluations without a better one, with the best weights",
    )
    add(
        "--monitor",
        default="loss",
        metavar="NAME",
        help="held-out number that says what is best, such as accuracy",
    )
    add(
        "--min-delta",
        type=float,
        default=0.0,
        help="what is better has to be so by more than this",
    )


def size(text: str) -> int:
    """Reads a flag that counts, from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, received {text!r}")
    return int(text)


def circumstances(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the arguments of `Plan` that no recipe says.

    Args:
        args: of a parser with `add_run_arguments`.
    """
    return {name: getattr(args, name) for name in _CIRCUMSTANCES}


def check_parts(rows: int, parts: int, name: str = "", devices: int = 1) -> None:
    """Refuses a batch that cannot be computed in so many parts.

    Args:
        rows: of the batch.
        parts: a device's share is divided into.
        name: what a recipe calls the part of it that says so, with a dot.
        devices: that share a batch.

    Raises:
        ConfigError: the rows cannot be divided so.
    """
    if rows % (parts * devices):
        on = f" on each of {devices} devices" if devices > 1 else ""
        raise ConfigError(
            "Expected a batch_size that gradient_accumulation_steps and the devices "
            f"divide. Received: {rows} rows in {parts} parts{on}. Set "
            f"{name}gradient_accumulation_steps to a divisor."
        )


def _never_thaws(plan: Any, model: Any) -> bool:
    layers = model.config.num_hidden_layers
    at_last = plan.layers_frozen(plan.steps, layers)
    return bool(plan.unfreeze_every) and at_last is not None


# What a printed plan says beside its numbers, and when; {1} is the model.
_SAID = (
    (
        lambda plan, model: model.policy.name != "float32",
        "computed in {1.policy.name}",
    ),
    (
        lambda plan, model: plan.freeze_layers is not None and not plan.unfreeze_every,
        "the embeddings and {0.freeze_layers} layers stay frozen",
    ),
    (
        lambda plan, model: plan.unfreeze_every,
        "a layer thaws every {0.unfreeze_every:,} steps",
    ),
    (_never_thaws, "at the last step some have not thawed yet"),
    (
        lambda plan, model: plan.layer_decay < 1,
        "a layer's rate is {0.layer_decay:g} of that of the one above",
    ),
    (lambda plan, model: plan.ema_momentum, "averaged weights are evaluated and kept"),
    (lambda plan, model: plan.activation_checkpointing, "layers are computed twice"),
    (
        lambda plan, model: plan.patience,
        "early stopping by {0.monitor}, patience {0.patience}",
    ),
)


def remarks(plan: Any, model: Any) -> str:
    """Returns what a plan does beside the ordinary, as a line, or nothing."""
    said = [words.format(plan, model) for holds, words in _SAID if holds(plan, model)]
    return f"\n  {'; '.join(said)}" if said else ""


def check_vocabulary(tokenizer: Any, model: Any) -> None:
    """Refuses a tokenizer whose ids the model has no rows for.

    Raises:
        InputError: naming both sizes.
    """
    rows = model.config.vocab_size
    if tokenizer.vocab_size > rows:
        raise InputError(
            f"Expected a vocabulary of at most {rows:,} tokens, the model's "
            f"vocab_size. Received: {tokenizer.vocab_size:,} tokens. Give the "
            "vocabulary that belongs to the model."
        )


def draw(run: Any) -> None:
    """Draws the curves of a run into its directory."""
    from keras_bert.analysis.curves import plot_curves

    if run.writes:
        path = run.directory / "curves.png"
        try:
            print(f"Drew {plot_curves(run.history, path, overwrite=True)}")
        except MissingExtraError as error:  # the model is still to be written
            print(f"Did not draw {path}. {error}")


def finish(run: Any, tokenizer: Any, output: str) -> None:
    """Writes the trained model into the run's directory, and prints its numbers.

    Args:
        run: that has ended. Of several processes one writes.
        tokenizer: to write beside the model, or None.
        output: directory.
    """
    if not run.writes:
        return
    with run.weights_to_keep():
        path = run.model.save_pretrained(
            Path(output) / "model", tokenizer=tokenizer, overwrite=True
        )
    numbers = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in run.result.items()
        if name != "time"
    )
    if (last := run.history[-1]["step"]) < run.plan.steps:
        print(f"Ended early, at step {last} of {run.plan.steps}.")
    print(f"{numbers}\nWrote {path}")
