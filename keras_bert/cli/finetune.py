"""`keras-bert finetune`: a classifier or scorer of texts, from a labeled file."""

import argparse
import math
from collections.abc import Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any

from keras_bert.cli.recipes import (
    add_recipe_arguments,
    changes_of,
    listing,
    write_settings,
)
from keras_bert.errors import ConfigError, InputError, choose

FLAGS = (
    *("batch_size", "learning_rate", "epochs", "warmup", "max_length"),
    *("weight_decay", "bias_correction", "regression"),
)
DEFAULTS = {"batch_size": 32, "learning_rate": 5e-5}
_HEAD = "BertForSequenceClassification"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_recipe_arguments(parser, _listing)
    parser.add_argument(
        "--model", required=True, metavar="PATH", help="a checkpoint of any format"
    )
    parser.add_argument(
        "--vocab", metavar="PATH", help="vocab.txt or tokenizer, if not with the model"
    )
    parser.add_argument(
        "--train", required=True, metavar="FILE", help="a .tsv, .csv or .jsonl file"
    )
    parser.add_argument("--dev", metavar="FILE", help="a labeled file to evaluate on")
    for name, default in (("text", "text"), ("text-pair", None), ("label", "label")):
        parser.add_argument(
            f"--{name}", default=default, metavar="COLUMN", help=f"column of the {name}"
        )
    parser.add_argument(
        "--regression", **_FLAG, action="store_true", help="the labels are numbers"
    )
    parser.add_argument(
        "--ignore-mismatched-sizes",
        action="store_true",
        help="start a new head where the checkpoint's has other labels",
    )
    parser.add_argument(
        "--epochs", **_FLAG, type=float, help="passes over the data (3)"
    )
    parser.add_argument(
        "--warmup", **_FLAG, type=float, help="share of the steps that warm up (0.1)"
    )
    parser.add_argument(
        "--max-length", **_FLAG, type=_size, help="longest row, in tokens (128)"
    )
    add_run_arguments(parser, **DEFAULTS)


def _listing() -> str:
    from keras_bert.training.recipes import FINE_TUNING

    return listing(FINE_TUNING)


def _task(args: argparse.Namespace) -> Any:
    """Returns the numbers: of a recipe or the command's own, with what was changed."""
    from keras_bert.training.recipes import FINE_TUNING, FineTuning, override

    given = changes_of(args, FLAGS)
    task = FineTuning(**DEFAULTS)
    if args.recipe:
        task = FINE_TUNING[choose("recipe", args.recipe, FINE_TUNING)]
    if task.head != _HEAD:
        raise ConfigError(
            f"Expected a recipe for {_HEAD}, which this command trains. Received: "
            f"{args.recipe!r}, for {task.head}. Train that with `model.fit` or "
            "keras_bert.training.loop and the recipe's numbers."
        )
    return reduce(override, given, task)


def run(args: argparse.Namespace) -> None:
    """Trains, and writes the model beside the run's log and checkpoints."""
    from keras_bert import tasks
    from keras_bert.tokenization import BertTokenizer
    from keras_bert.training.loop import Run
    from keras_bert.training.recipes import settings

    task = _task(args)
    tokenizer = BertTokenizer.from_pretrained(args.vocab or args.model)
    columns = dict(text=args.text, text_pair=args.text_pair, label=args.label)
    examples = tasks.read_examples(args.train, **columns)
    labels = None if task.regression else tasks.label_names(examples)

    model = _model(args, labels)
    check_vocabulary(tokenizer, model)

    def batches(examples: Sequence[tasks.Example], **options: Any) -> Any:
        features, answers = tasks.encode(examples, tokenizer, task.max_length, labels)
        model.check(features)
        return tasks.dataset(features, answers, task.batch_size, **options)

    train = batches(examples, shuffle_seed=args.seed, repeat=True)
    dev = args.dev and batches(tasks.read_examples(args.dev, **columns))
    plan = _plan(args, task, len(examples))
    print(
        f"{model.count_params():,} parameters, {len(examples):,} examples, "
        f"{len(labels) if labels else 'no'} classes, {plan.steps:,} steps; "
        f"{args.output}\n{_described(task, plan)}"
    )
    if args.dry_run:
        return
    if args.recipe or args.config:
        write_settings(Path(args.output), args.recipe, settings(task))
    history = Run(model, plan, Path(args.output), train, dev or None)()
    finish(model, tokenizer, args.output, history)


def _plan(args: argparse.Namespace, task: Any, examples: int) -> Any:
    from keras_bert.training.plan import Plan

    steps = math.ceil(examples * task.epochs / task.batch_size)
    return Plan(
        steps=steps,
        learning_rate=task.learning_rate,
        warmup_steps=round(steps * task.warmup),
        weight_decay=task.weight_decay,
        bias_correction=task.bias_correction,
        **circumstances(args),
    )


def _described(task: Any, plan: Any) -> str:
    source = f"\nFrom {task.source}." if task.source else ""
    return (
        f"{task.epochs:g} epochs in batches of {task.batch_size}, at most "
        f"{task.max_length} tokens; adamw at {plan.learning_rate:g} after "
        f"{plan.warmup_steps:,} steps of warm-up.{source}"
    )


def _model(args: argparse.Namespace, labels: Sequence[str] | None) -> Any:
    import keras_bert

    head = (
        {"num_labels": 1, "problem_type": "regression"}
        if labels is None
        else {"id2label": dict(enumerate(labels))}
    )
    return keras_bert.BertForSequenceClassification.from_pretrained(
        args.model,
        dtype=args.dtype,
        seed=args.seed,
        ignore_mismatched_sizes=args.ignore_mismatched_sizes,
        **head,
    )


# === Shared with `keras-bert pretrain` ===


# What a recipe says too: absent where it was not given.
_FLAG = {"default": argparse.SUPPRESS}


def add_run_arguments(
    parser: argparse.ArgumentParser, *, batch_size: int, learning_rate: float
) -> None:
    """Adds the arguments of every training run."""
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="directory of the run; the same command goes on where it stopped",
    )
    add = partial(parser.add_argument, **_FLAG)
    add("--batch-size", type=_size, help=f"rows per step ({batch_size})")
    add("--learning-rate", type=float, help=f"the highest rate ({learning_rate:g})")
    add("--weight-decay", type=float, help="share taken off per step (0.01)")
    add(
        "--bias-correction",
        action=argparse.BooleanOptionalAction,
        help="of Adam; Google's optimizer has none",
    )
    parser.add_argument("--dtype", help="dtype policy, such as mixed_bfloat16")
    parser.add_argument(
        "--seed", type=int, default=12345, help="of weights, order and dropout"
    )
    for name, default in (("log", 10), ("evaluate", 0), ("checkpoint", 1000)):
        parser.add_argument(
            f"--{name}-every", type=int, default=default, help="steps; 0: at the end"
        )


def _size(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, received {text!r}")
    return int(text)


def circumstances(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the arguments of `Plan` that say where and how a run is watched."""
    names = ("distribution", "model_shards", "keep")
    every = ("log_every", "evaluate_every", "checkpoint_every")
    given = vars(args)
    return {name: given[name] for name in (*names, *every) if name in given}


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


def finish(model: Any, tokenizer: Any, output: str, history: list[dict]) -> None:
    """Writes the trained model into the run's directory and prints the last line."""
    path = model.save_pretrained(
        Path(output) / "model", tokenizer=tokenizer, overwrite=True
    )
    last = {k: v for k, v in history[-1].items() if k != "time"}
    numbers = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in last.items()
    )
    print(f"{numbers}\nWrote {path}")
