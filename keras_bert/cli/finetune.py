"""`keras-bert finetune`: a model for a task, from labeled data."""

import argparse
from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path
from typing import Any

from keras_bert.cli import glue
from keras_bert.cli.models import add_window_pooling, load_tokenizer
from keras_bert.cli.parsing import FROM_RECIPE, NamedNumbers, positive
from keras_bert.cli.recipes import (
    add_recipe_arguments,
    changes_of,
    listing,
    write_settings,
)
from keras_bert.cli.runs import (
    RECIPE_FLAGS,
    add_report_texts,
    add_run_arguments,
    draw,
    finish,
    remarks,
    runtime_options,
)
from keras_bert.cli.sweep import add_sweep_arguments, is_sweep, sweep
from keras_bert.cli.tables import add_table_arguments, reading_of
from keras_bert.errors import ConfigError, choose
from keras_bert.tasks import TASKS, Task
from keras_bert.tasks.splits import Split
from keras_bert.tasks.task import check_kind
from keras_bert.tasks.tfds_tables import with_split

FLAGS = (
    *RECIPE_FLAGS,
    *("epochs", "warmup", "max_length", "regression", "gradual_unfreezing"),
    "group_by_length",
    *("class_weight", "label_smoothing", "focal_gamma", "r_drop", "fgm"),
    *("options.loss", "options.dimensions", "options.score_range"),
    *("lora", "lora_alpha", "lora_dropout", "lora_targets"),
)
SETTINGS = ("doc_stride", "window_pooling", "crf")  # of tasks
DEFAULTS = {"batch_size": 32, "learning_rate": 5e-5}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_recipe_arguments(parser, _listing)
    _add_data_arguments(parser)
    add_table_arguments(parser, ids=False)
    _add_head_arguments(parser.add_argument_group("the head"))
    _add_course_arguments(parser.add_argument_group("training"))
    _add_loss_arguments(parser.add_argument_group("loss"))
    _add_lora_arguments(parser.add_argument_group("adapters (LoRA)"))
    _add_embedding_arguments(parser)
    add_report_texts(parser)
    add_sweep_arguments(parser)
    add_run_arguments(parser, **DEFAULTS)


def _add_data_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", required=True, metavar="PATH", help="a checkpoint of any format")
    add(
        "--vocab",
        metavar="PATH",
        help="vocab.txt or tokenizer directory, if not in --model",
    )
    add(
        "--task",
        metavar="NAME",
        help=f"{', '.join(TASKS)}; by default that of the recipe, or classification; "
        f"or {glue.HELP}",
    )
    add(
        "--train",
        metavar="FILE",
        help="a table of labeled texts; or tfds:NAME, of TensorFlow Datasets",
    )
    add("--dev", metavar="FILE", help="another to evaluate on")
    add(
        "--dev-split",
        type=float,
        metavar="X",
        help="instead of --dev, the fraction of --train to hold out, of every label",
    )
    add("--data", metavar="DIR", help="instead of both, the files of a task of GLUE")


def _add_head_arguments(group: Any) -> None:
    add = group.add_argument
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
    add(
        "--doc-stride",
        type=positive,
        metavar="N",
        help="split texts that are too long into windows that overlap by N tokens",
    )
    add_window_pooling(group)
    add(
        "--crf",
        action="store_true",
        default=None,
        help="--task ner: learn which tags follow each other, and answer with the best "
        "sequence of tags (a conditional random field)",
    )
    recipe_flag = partial(add, **FROM_RECIPE)
    recipe_flag("--regression", action="store_true", help="the labels are numbers")


def _add_course_arguments(group: Any) -> None:
    add = partial(group.add_argument, **FROM_RECIPE)
    add("--epochs", type=float, help="passes over the data (3)")
    add("--warmup", type=float, help="fraction of the steps that warm up (0.1)")
    add("--max-length", type=positive, help="longest row, in tokens (128)")
    add(
        "--gradual-unfreezing",
        action="store_true",
        help="start with all layers frozen, or with --freeze-layers of them, and thaw "
        "one layer every epoch",
    )
    add(
        "--group-by-length",
        action="store_true",
        help="make batches of rows of like lengths, which take less time",
    )


def _add_loss_arguments(group: Any) -> None:
    add = partial(group.add_argument, **FROM_RECIPE)
    add(
        "--class-weight",
        nargs="+",
        action=NamedNumbers,
        metavar="NAME=X",
        help="weights of classes in the loss, 1 where not named; or balanced: each by "
        "the reciprocal of its examples",
    )
    add(
        "--label-smoothing",
        type=float,
        help="share of a label that is spread over all classes (0)",
    )
    add(
        "--focal-gamma",
        type=float,
        help="focal loss: power of 1 - p that the loss of a label is multiplied by (0)",
    )
    add(
        "--r-drop",
        type=float,
        help="R-Drop: weight of the divergence of two passes with other dropout (0)",
    )
    add(
        "--fgm",
        type=float,
        help="adversarial training: distance that the word embeddings are moved "
        "against the model, for a second gradient (0)",
    )


def _add_lora_arguments(group: Any) -> None:
    add = partial(group.add_argument, **FROM_RECIPE)
    add(
        "--lora",
        type=positive,
        metavar="RANK",
        help="train adapters of this rank and the head, the encoder frozen; the model "
        "is written with the adapters merged, and these in adapter/",
    )
    add("--lora-alpha", type=float, help="they are scaled by alpha / rank (2 rank)")
    add("--lora-dropout", type=float, help="of the inputs of the adapters (0)")
    add(
        "--lora-targets",
        nargs="+",
        metavar="NAME",
        help="dense layers that have adapters, by name or pattern (query value)",
    )


def _add_embedding_arguments(parser: argparse.ArgumentParser) -> None:
    add = partial(
        parser.add_argument_group(
            "sentence embeddings (--task embed or sts)",
            "Arguments of the loss are settings: --set options.scale=30.",
        ).add_argument,
        **FROM_RECIPE,
    )
    add(
        "--loss",
        dest="options.loss",
        metavar="NAME",
        help="multiple_negatives or triplet; with labels cosent, cosine or angle "
        "(multiple_negatives; cosent)",
    )
    add(
        "--dimensions",
        dest="options.dimensions",
        nargs="+",
        type=positive,
        metavar="N",
        help="lengths to which vectors may be cut afterwards, such as 384 128 64",
    )
    add(
        "--score-range",
        dest="options.score_range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="the least and the greatest label, for --loss cosine",
    )


def _listing() -> str:
    from keras_bert.training.recipes import FINE_TUNING

    return listing(FINE_TUNING)


def _recipe(args: argparse.Namespace) -> tuple[type[Task], Any]:
    """Returns the kind of task, and its settings with all changes applied."""
    from keras_bert.training.recipes import FINE_TUNING, FineTuning, override

    given = changes_of(args, FLAGS)
    named = None
    if args.recipe:
        named = FINE_TUNING[choose("recipe", args.recipe, FINE_TUNING)]
    kind = _kind(args, named)
    start = named or FineTuning(**{**DEFAULTS, "head": kind.head, **kind.recipe})
    recipe = reduce(override, given, start)
    if recipe.regression and kind is TASKS["classification"]:
        kind = TASKS["regression"]
    check_kind(kind.name, recipe)
    return kind, recipe


def _kind(args: argparse.Namespace, recipe: Any) -> type[Task]:
    """Returns the task that was named, or the first one of the recipe's head."""
    by_head = {task.head: task for task in reversed(TASKS.values())}
    named = TASKS[choose("task", args.task, TASKS)] if args.task else None
    kind = named or by_head.get(recipe.head if recipe else TASKS["classification"].head)
    if kind is None or (recipe and kind.head != recipe.head):
        heads = kind.head if kind else ", ".join(by_head)
        raise ConfigError(
            f"Expected a recipe for {heads}. Received: {args.recipe!r}, for "
            f"{recipe.head}."
        )
    return kind


def _check_sources(args: argparse.Namespace, named: glue.NamedData | None) -> None:
    """Raises for data that is missing, or given twice."""
    if args.dev and args.dev_split is not None:
        raise ConfigError(
            "Expected either --dev or --dev-split. Received: --dev "
            f"{args.dev} and --dev-split {args.dev_split}."
        )
    if named and not (args.train or args.dev):
        return
    if named or args.data or not args.train:
        raise ConfigError(
            "Expected either --train FILE, or --data DIR with the name of a task of "
            "GLUE as --task. Received: "
            f"--train {args.train}, --dev {args.dev}, --data {args.data}."
        )


def _data(
    args: argparse.Namespace, task: Task, named: glue.NamedData | None
) -> tuple[list, list | None, Split | None]:
    """Returns the items to train and to evaluate on, and how they were divided."""
    reading = reading_of(args)
    train = named.read("train") if named else with_split(args.train, "train")
    items = train if named else task.read(train, **reading)
    if args.dev_split is not None:
        # The runs of a sweep hold out the same rows, whatever their seeds.
        seed = vars(args).get("split_seed", args.seed)
        split = task.hold_out(items, args.dev_split, seed)
        return split.train, split.dev, split
    if named:
        return items, named.read("dev"), None
    return items, task.read(args.dev, **reading) if args.dev else None, None


def run(args: argparse.Namespace) -> None:
    """Trains once, or several times to compare."""
    if is_sweep(args):
        sweep(args, _planned(args)[1], train, FLAGS, _check)
    else:
        train(args)


def _check(args: argparse.Namespace) -> None:
    """Raises for settings that cannot be, without the data."""
    _planned(args)[1].plan(1)


def kind_of(args: argparse.Namespace) -> type[Task]:
    """Returns the kind of task that is to be trained."""
    return _planned(args)[0]


def _planned(args: argparse.Namespace) -> tuple[type[Task], Any]:
    """Returns the kind of task and its settings, and leaves the arguments alone."""
    copy = argparse.Namespace(**vars(args))
    _named(copy)
    return _recipe(copy)


def _named(args: argparse.Namespace) -> glue.NamedData | None:
    """Returns the task of GLUE that is named, which has a recipe."""
    named = glue.named_data(args)
    if named:
        args.recipe = args.recipe or named.task.recipe
    return named


def train(
    args: argparse.Namespace, teacher: Any = None, **options: Any
) -> Callable[[], dict[str, float]] | None:
    """Trains, and writes model and curves into the run's directory.

    Args:
        args: of this command.
        teacher: whose answers are learned too, see `keras_bert.training.loop.Run`.
        **options: further arguments of `Plan`.

    Returns:
        What scores the model on the held-out data; None of a dry run.
    """
    from keras_bert.checkpoints import formats
    from keras_bert.loading import local_path
    from keras_bert.training.recipes import settings

    named = _named(args)
    _check_sources(args, named)
    kind, recipe = _recipe(args)
    checkpoint = formats.read(local_path(args.model))
    task = kind(
        checkpoint,
        load_tokenizer(args, checkpoint.config),
        labels=named.labels(args, checkpoint.config) if named else args.labels,
        max_length=recipe.max_length,
        dtype=args.dtype,
        seed=args.seed,
        ignore_mismatched_sizes=args.ignore_mismatched_sizes,
        **_settings(args, kind, recipe),
    )
    items, dev, split = _data(args, task, named)
    names = (args.train or args.data, args.dev or args.data or f"of {args.train}")
    tuning = task.run_on(
        items,
        dev,
        recipe,
        args.output,
        names=names,
        **runtime_options(args) | options,
    )
    tuning.teacher = teacher
    tuning.batch_loss()  # a dry run too says what does not fit
    facts = [_sizes(task.model), *task.describe(items)]
    print(
        f"{', '.join(facts)}, {tuning.plan.steps:,} steps; "
        f"{args.output}\n{_summary(recipe, tuning.plan, task.model)}"
    )
    if counts := task.counts(items):
        print(counts)
    if split:
        print(split.describe())
    if args.dry_run:
        return None
    if args.recipe or args.config:
        write_settings(Path(args.output), args.recipe, settings(recipe))
    if split:
        split.keep(args.output)
    tuning()
    draw(tuning)
    finish(tuning, task.tokenizer, args.output)
    page = task.report_run(
        *(tuning, recipe, items, dev),
        names=names,
        command=args.command_line,
        texts=args.report_texts,
    )
    if page:
        print(f"Wrote {page}")
    return partial(_scores, task, dev, tuning, recipe.batch_size)


def _scores(task: Task, dev: list, run: Any, size: int) -> dict[str, float]:
    """Returns the scores of a trained task, and its loss on held-out data."""
    with run.weights_to_keep():
        scores = task.score(dev, task.outputs(dev, batch_size=size))
    return {**scores, "loss": run.result["loss"]}


def _settings(args: argparse.Namespace, kind: type[Task], recipe: Any) -> dict:
    """Returns the settings of the task: those of the recipe, and flags."""
    flags = {name: getattr(args, name) for name in SETTINGS}
    given = {name: value for name, value in flags.items() if value is not None}
    return {k: v for k, v in recipe.options.items() if k in kind.settings} | given


def _sizes(model: Any) -> str:
    from keras_bert.models.lora import adapted_layers, trained_share

    trained, everything = trained_share(model)
    few = f" ({trained:,} trained)" if adapted_layers(model) else ""
    return f"{everything:,} parameters{few}"


def _summary(recipe: Any, plan: Any, model: Any) -> str:
    source = f"\nSettings from {recipe.source}." if recipe.source else ""
    return (
        f"{recipe.epochs:g} epochs in batches of {recipe.batch_size}, at most "
        f"{recipe.max_length} tokens; {plan.optimizer}, learning rate "
        f"{plan.learning_rate:g}, {plan.warmup_steps:,} warm-up steps."
        f"{remarks(plan, model)}{source}"
    )
