"""`keras-bert finetune`: a classifier or scorer of texts, from a labeled file."""

import argparse
from collections.abc import Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any

from keras_bert.cli.labels import (
    LISTS,
    are_lists,
    check_lists,
    counted,
    labels_to_train,
)
from keras_bert.cli.models import class_of, load_tokenizer
from keras_bert.cli.parsing import FROM_RECIPE, positive
from keras_bert.cli.recipes import (
    add_recipe_arguments,
    changes_of,
    listing,
    write_settings,
)
from keras_bert.cli.runs import (
    RECIPE_FLAGS,
    add_run_arguments,
    check_microbatches,
    check_vocabulary,
    draw,
    finish,
    remarks,
    runtime_options,
)
from keras_bert.cli.tables import add_table_arguments, examples_of, table_of
from keras_bert.errors import ConfigError, choose
from keras_bert.tasks import Example, filled

FLAGS = (
    *RECIPE_FLAGS,
    *("epochs", "warmup", "max_length", "regression", "gradual_unfreezing"),
)
DEFAULTS = {"batch_size": 32, "learning_rate": 5e-5}
_HEAD = "sequence_classification"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_recipe_arguments(parser, _listing)
    add = parser.add_argument
    add("--model", required=True, metavar="PATH", help="a checkpoint of any format")
    add(
        "--vocab",
        metavar="PATH",
        help="vocab.txt or tokenizer directory, if not in --model",
    )
    add("--train", required=True, metavar="FILE", help="a table of labeled texts")
    add("--dev", metavar="FILE", help="another to evaluate on")
    add_table_arguments(parser, ids=False)
    add(
        "--labels",
        nargs="+",
        metavar="NAME",
        help="class names, in the order of their ids; by default those of the model's "
        "head, or of a new one those in --train, sorted",
    )
    add(
        "--ignore-mismatched-sizes",
        action="store_true",
        help="initialize a new head if that of the checkpoint has other labels",
    )
    add = partial(add, **FROM_RECIPE)
    add("--regression", action="store_true", help="the labels are numbers")
    add("--epochs", type=float, help="passes over the data (3)")
    add("--warmup", type=float, help="fraction of the steps that warm up (0.1)")
    add("--max-length", type=positive, help="longest row, in tokens (128)")
    add(
        "--gradual-unfreezing",
        action="store_true",
        help="start with all layers frozen, or with --freeze-layers of them, and thaw "
        "one layer every epoch",
    )
    add_run_arguments(parser, **DEFAULTS)


def _listing() -> str:
    from keras_bert.training.recipes import FINE_TUNING

    return listing(FINE_TUNING)


def _task(args: argparse.Namespace) -> Any:
    """Returns the recipe, or the command's own defaults, with all changes applied."""
    from keras_bert.training.recipes import FINE_TUNING, FineTuning, override

    given = changes_of(args, FLAGS)
    task = FineTuning(**DEFAULTS)
    if args.recipe:
        task = FINE_TUNING[choose("recipe", args.recipe, FINE_TUNING)]
    if task.head != _HEAD:
        raise ConfigError(
            f"Expected a recipe for {_HEAD}, the head this command trains. Received: "
            f"{args.recipe!r}, for {task.head}. Train that with `model.fit` or "
            "keras_bert.training.loop and the settings of the recipe."
        )
    return reduce(override, given, task)


def run(args: argparse.Namespace) -> None:
    """Trains, and writes model and curves into the run's directory."""
    from keras_bert import tasks
    from keras_bert.checkpoints import formats
    from keras_bert.families.family import CLASSIFIERS
    from keras_bert.loading import local_path
    from keras_bert.training.distribution import distribution
    from keras_bert.training.loop import Run, check
    from keras_bert.training.recipes import settings

    task = _task(args)
    checkpoint = formats.read(local_path(args.model))
    tokenizer = load_tokenizer(args, checkpoint.config)
    head = class_of(checkpoint.config, _HEAD)
    examples = _examples(args, args.train)
    several = are_lists(examples)
    check_lists(examples, several and not task.regression, args.train)
    labels = None
    if not task.regression:
        part = next(name for name in head.parts_for() if name in CLASSIFIERS)
        labels = labels_to_train(args, examples, checkpoint, part)

    plan = task.plan(len(examples), **runtime_options(args))
    devices = distribution(plan.distribution, plan.model_shards)
    microbatches = task.gradient_accumulation_steps
    check_microbatches(task.batch_size, microbatches, replicas=devices.replicas)
    with devices.scope():
        model = _model(args, head, checkpoint, labels, several)
    check(plan, model, args.dev)
    check_vocabulary(tokenizer, model)

    def batches(path: str, examples: Sequence[Example], **options: Any) -> Any:
        features, answers = tasks.encode(
            examples, tokenizer, task.max_length, labels, source=path
        )
        model.check(features)
        return tasks.dataset(features, answers, task.batch_size, **options)

    train = batches(args.train, examples, shuffle_seed=args.seed, repeat=True)
    dev = None
    if args.dev:
        held_out = _examples(args, args.dev)
        check_lists(held_out, several, args.dev)
        dev = batches(args.dev, held_out)
    print(
        f"{model.count_params():,} parameters, {len(examples):,} examples, "
        f"{len(labels) if labels else 'no'} classes, {plan.steps:,} steps; "
        f"{args.output}\n{_summary(task, plan, model)}"
    )
    if labels:
        print(f"Examples of each class: {counted(examples, labels)}.")
    if args.dry_run:
        return
    if args.recipe or args.config:
        write_settings(Path(args.output), args.recipe, settings(task))
    tuning = Run(model, plan, Path(args.output), train, dev)
    tuning()
    draw(tuning)
    finish(tuning, tokenizer, args.output)


def _summary(task: Any, plan: Any, model: Any) -> str:
    source = f"\nSettings from {task.source}." if task.source else ""
    return (
        f"{task.epochs:g} epochs in batches of {task.batch_size}, at most "
        f"{task.max_length} tokens; {plan.optimizer}, learning rate "
        f"{plan.learning_rate:g}, {plan.warmup_steps:,} warm-up steps."
        f"{remarks(plan, model)}{source}"
    )


def _examples(args: argparse.Namespace, path: str) -> list[Example]:
    table = table_of(args, path)
    return filled(examples_of(args, table), table.name)


def _model(
    args: argparse.Namespace,
    head: Any,
    checkpoint: Any,
    labels: Sequence[str] | None,
    several: bool,
) -> Any:
    from keras_bert.loading import load_pretrained

    outputs = {"num_labels": 1, "problem_type": "regression"}
    if labels is not None:
        kind = LISTS if several else "single_label_classification"
        outputs = {"id2label": dict(enumerate(labels)), "problem_type": kind}
    return load_pretrained(
        head,
        checkpoint,
        dtype=args.dtype,
        seed=args.seed,
        ignore_mismatched_sizes=args.ignore_mismatched_sizes,
        **outputs,
    )
