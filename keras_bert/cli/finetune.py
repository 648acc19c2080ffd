"""`keras-bert finetune`: a classifier or scorer of texts, from a labeled file."""

import argparse
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
from keras_bert.cli.runs import (
    FLAG,
    SETTINGS,
    add_run_arguments,
    check_parts,
    check_vocabulary,
    circumstances,
    draw,
    finish,
    remarks,
    size,
)
from keras_bert.errors import ConfigError, choose

FLAGS = (
    *SETTINGS,
    *("epochs", "warmup", "max_length", "regression", "gradual_unfreezing"),
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
        "--ignore-mismatched-sizes",
        action="store_true",
        help="start a new head where the checkpoint's has other labels",
    )
    add = partial(parser.add_argument, **FLAG)
    add("--regression", action="store_true", help="the labels are numbers")
    add("--epochs", type=float, help="passes over the data (3)")
    add("--warmup", type=float, help="share of the steps that warm up (0.1)")
    add("--max-length", type=size, help="longest row, in tokens (128)")
    add(
        "--gradual-unfreezing",
        action="store_true",
        help="begin with all layers frozen, or --freeze-layers of them, and thaw one "
        "every epoch",
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
    from keras_bert.training.distribution import distribution
    from keras_bert.training.estimates import shares
    from keras_bert.training.loop import Run, check
    from keras_bert.training.recipes import settings

    task = _task(args)
    tokenizer = BertTokenizer.from_pretrained(args.vocab or args.model)
    columns = dict(text=args.text, text_pair=args.text_pair, label=args.label)
    examples = tasks.read_examples(args.train, **columns)
    labels = None if task.regression else tasks.label_names(examples)

    plan = task.plan(len(examples), **circumstances(args))
    devices = distribution(plan.distribution, plan.model_shards)
    check_parts(
        task.batch_size, task.gradient_accumulation_steps, devices=shares(devices)
    )
    with devices.scope():
        model = _model(args, labels)
    check(plan, model, args.dev)
    check_vocabulary(tokenizer, model)

    def batches(examples: Sequence[tasks.Example], **options: Any) -> Any:
        features, answers = tasks.encode(examples, tokenizer, task.max_length, labels)
        model.check(features)
        return tasks.dataset(features, answers, task.batch_size, **options)

    train = batches(examples, shuffle_seed=args.seed, repeat=True)
    dev = args.dev and batches(tasks.read_examples(args.dev, **columns))
    print(
        f"{model.count_params():,} parameters, {len(examples):,} examples, "
        f"{len(labels) if labels else 'no'} classes, {plan.steps:,} steps; "
        f"{args.output}\n{_described(task, plan, model)}"
    )
    if args.dry_run:
        return
    if args.recipe or args.config:
        write_settings(Path(args.output), args.recipe, settings(task))
    tuning = Run(model, plan, Path(args.output), train, dev or None)
    tuning()
    draw(tuning)
    finish(tuning, tokenizer, args.output)


def _described(task: Any, plan: Any, model: Any) -> str:
    source = f"\nFrom {task.source}." if task.source else ""
    return (
        f"{task.epochs:g} epochs in batches of {task.batch_size}, at most "
        f"{task.max_length} tokens; {plan.optimizer} at {plan.learning_rate:g} after "
        f"{plan.warmup_steps:,} steps of warm-up.{remarks(plan, model)}{source}"
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
