"""What the commands that train share: flags of a run, checks, and its results.

A flag that a recipe sets too has no default and is absent unless given; `RECIPE_FLAGS`
lists these. The others are arguments of `Plan` alone.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from keras_bert.cli.models import add_dtype_argument
from keras_bert.cli.parsing import FROM_RECIPE, positive
from keras_bert.errors import MissingExtraError

RECIPE_FLAGS = (
    *("batch_size", "learning_rate", "weight_decay", "bias_correction"),
    *("optimizer", "schedule", "layer_decay", "ema_momentum"),
    *("gradient_accumulation_steps", "freeze_layers", "freeze"),
)
_RUNTIME_OPTIONS = (
    *("distribution", "model_shards", "activation_checkpointing", "keep"),
    *("log_every", "evaluate_every", "checkpoint_every"),
    *("patience", "monitor", "min_delta"),
)


def add_run_arguments(
    parser: argparse.ArgumentParser, *, batch_size: int, learning_rate: float
) -> None:
    """Adds the arguments of every training run.

    Args:
        parser: of the command.
        batch_size, learning_rate: the defaults, for the help.
    """
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="directory of the run; run the same command again to resume it",
    )
    add_dtype_argument(parser)
    parser.add_argument(
        "--seed",
        type=int,
        default=12345,
        help="seed for initialization, shuffling and dropout",
    )
    _add_optimization(parser, batch_size, learning_rate)
    _add_devices(parser)
    _add_monitoring(parser)


def _add_optimization(
    parser: argparse.ArgumentParser, batch_size: int, learning_rate: float
) -> None:
    group = parser.add_argument_group("optimization")
    add = partial(group.add_argument, **FROM_RECIPE)
    add("--batch-size", type=positive, help=f"rows per step ({batch_size})")
    add("--learning-rate", type=float, help=f"peak learning rate ({learning_rate:g})")
    add(
        "--schedule",
        metavar="NAME",
        help="learning-rate decay: linear, polynomial, cosine or constant (linear)",
    )
    add("--optimizer", metavar="NAME", help="adamw, adam or lamb (adamw)")
    add(
        "--weight-decay",
        type=float,
        help="fraction of a weight subtracted per step, times the learning rate (0.01)",
    )
    add(
        "--bias-correction",
        action=argparse.BooleanOptionalAction,
        help="of Adam; Google's optimizer has none",
    )
    add(
        "--layer-decay",
        type=float,
        help="learning rate of a layer divided by that of the layer above (1)",
    )
    add(
        "--ema-momentum",
        type=float,
        help="evaluate and save an exponential moving average of the weights",
    )
    add(
        "--freeze-layers",
        type=int,
        metavar="N",
        help="freeze the embeddings and the first N layers",
    )
    add(
        "--freeze",
        nargs="+",
        metavar="PATTERN",
        help="freeze the weights whose path a regular expression matches, such as "
        "embeddings or 'layer_[0-3]/'",
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
    add(
        "--model-shards",
        type=int,
        default=1,
        help="devices that share one copy of the weights, with model_parallel",
    )
    add(
        "--gradient-accumulation-steps",
        type=int,
        **FROM_RECIPE,
        help="microbatches per step, to save memory (1)",
    )
    add(
        "--activation-checkpointing",
        action="store_true",
        help="recompute activations in the backward pass, to save memory",
    )


def _add_monitoring(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("log, checkpoints, early stopping").add_argument
    for name, default in (("log", 10), ("evaluate", 0), ("checkpoint", 1000)):
        help_text = "interval in steps; 0: only at the end"
        add(f"--{name}-every", type=int, default=default, metavar="N", help=help_text)
    add(
        "--keep",
        type=int,
        default=2,
        metavar="N",
        help="recent checkpoints to keep, in addition to the best",
    )
    add(
        "--patience",
        type=int,
        metavar="N",
        help="stop after N evaluations without improvement, and restore the best "
        "weights",
    )
    add(
        "--monitor",
        default="loss",
        metavar="NAME",
        help="held-out metric that decides which weights are best: loss, accuracy, or "
        "a score of the task, such as f1 or spearman",
    )
    add(
        "--min-delta",
        type=float,
        default=0.0,
        help="smallest change that counts as an improvement",
    )


def add_report_texts(parser: argparse.ArgumentParser) -> None:
    """Adds the argument for the texts whose attention a report shows."""
    parser.add_argument(
        "--report-texts",
        nargs="+",
        default=(),
        metavar="TEXT",
        help="texts whose attention the report shows; by default the worst mistake",
    )


def runtime_options(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the arguments of `Plan` that no recipe sets.

    Args:
        args: of a parser with `add_run_arguments`.
    """
    return {name: getattr(args, name) for name in _RUNTIME_OPTIONS}


def _some_stay_frozen(plan: Any, model: Any) -> bool:
    layers = model.config.num_hidden_layers
    at_last = plan.layers_frozen(plan.steps, layers)
    return bool(plan.unfreeze_every) and at_last is not None


# What a printed plan mentions besides its numbers, and when; {1} is the model.
_REMARKS = (
    (
        lambda plan, model: model.dtype_policy.name != "float32",
        "computed in {1.dtype_policy.name}",
    ),
    (
        lambda plan, model: plan.freeze_layers is not None and not plan.unfreeze_every,
        "the embeddings and {0.freeze_layers} layers stay frozen",
    ),
    (
        lambda plan, model: plan.lora,
        "adapters of rank {0.lora} and the head are trained, the encoder is frozen",
    ),
    (
        lambda plan, model: plan.loss_options,
        "the loss has {0.loss_options}",
    ),
    (
        lambda plan, model: plan.freeze,
        "weights that match {0.freeze} stay frozen",
    ),
    (
        lambda plan, model: plan.unfreeze_every,
        "a layer thaws every {0.unfreeze_every:,} steps",
    ),
    (_some_stay_frozen, "at the last step some layers are still frozen"),
    (
        lambda plan, model: plan.layer_decay < 1,
        "the learning rate of a layer is {0.layer_decay:g} times that of the one above",
    ),
    (
        lambda plan, model: plan.ema_momentum,
        "averaged weights are evaluated and saved",
    ),
    (
        lambda plan, model: plan.activation_checkpointing,
        "activations are recomputed",
    ),
    (
        lambda plan, model: plan.patience,
        "early stopping by {0.monitor}, patience {0.patience}",
    ),
)


def remarks(plan: Any, model: Any) -> str:
    """Returns the unusual settings of a plan as a line, or nothing."""
    found = [text.format(plan, model) for holds, text in _REMARKS if holds(plan, model)]
    return f"\n  {'; '.join(found)}" if found else ""


# === Results ===


def draw(run: Any) -> None:
    """Draws the curves of a run into its directory, if matplotlib is installed."""
    from keras_bert.analysis.curves import plot_curves

    if run.writes:
        path = run.directory / "curves.png"
        try:
            print(f"Drew {plot_curves(run.history, path, overwrite=True)}")
        except MissingExtraError as error:
            print(f"Did not draw {path}. {error}")


def finish(run: Any, tokenizer: Any, output: str) -> None:
    """Writes the trained model into the run's directory, and prints its metrics.

    Args:
        run: that has ended. Of several processes one writes.
        tokenizer: to write next to the model, or None.
        output: directory.
    """
    if not run.writes:
        return
    with run.weights_to_keep():
        path = run.model.save_pretrained(
            Path(output) / "model", tokenizer=tokenizer, overwrite=True
        )
    metrics = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in run.result.items()
        if name != "time"
    )
    if (last := run.history[-1]["step"]) < run.plan.steps:
        print(f"Stopped early, at step {last} of {run.plan.steps}.")
    print(f"{metrics}\nWrote {path}")
