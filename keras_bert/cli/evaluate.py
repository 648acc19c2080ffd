"""`keras-bert evaluate`: scores of a fine-tuned model, or of a file of predictions."""

import argparse
import json
from pathlib import Path

from keras_bert.cli import glue
from keras_bert.cli.models import (
    add_dtype_argument,
    add_model_arguments,
    load_model,
    load_tokenizer,
)
from keras_bert.cli.parsing import positive
from keras_bert.cli.runs import add_report_texts
from keras_bert.cli.scores import add_score_arguments, refuse_unread, score_predictions
from keras_bert.cli.tables import add_table_arguments, check_outputs, reading_of
from keras_bert.errors import InputError, choose
from keras_bert.tasks import TASKS, Task
from keras_bert.tasks.run_report import Answered, RunReport, title_of

FILES = ("predictions", "nbest", "null_odds")  # that a task may write


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_model_arguments(parser, required=False)
    add_dtype_argument(parser)
    parser.add_argument(
        "--task",
        metavar="NAME",
        help=f"{', '.join(TASKS)}; by default the model's; or {glue.HELP}",
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="PATH",
        help="a table, or - for standard input; of a task of GLUE the folder",
    )
    parser.add_argument(
        "--split", default="dev", metavar="NAME", help="of a task of GLUE"
    )
    add_table_arguments(parser)
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help="of classes and numbers accuracy, f1, f1_macro, f1_micro, "
        "matthews_correlation, pearson, spearman, mean_squared_error; of other tasks "
        "those that they print; by default those usual for the labels",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the scores in one line"
    )
    parser.add_argument(
        "--output", metavar="FILE", help="write the scores to a .json file"
    )
    parser.add_argument(
        "--predictions",
        metavar="FILE",
        help="write every prediction to a .jsonl file; without --model, score those in "
        "this file",
    )
    parser.add_argument(
        "--report",
        metavar="FILE",
        help="write an .html page: scores, confusions, mistakes, attention",
    )
    add_report_texts(parser)
    add_score_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace the outputs")
    parser.add_argument(
        "--batch-size", type=positive, default=32, help="rows per batch"
    )


def run(args: argparse.Namespace) -> None:
    """Predicts every example, prints the scores and writes the outputs."""
    from keras_bert.atomic_files import refuse_existing

    if args.model is None:
        report(_scores_of_file(args), args)
        return
    files = {name: path for name in FILES if (path := vars(args)[name])}
    outputs = [args.output, args.report, *files.values()]
    refuse_existing([Path(name) for name in outputs if name], args.overwrite)
    check_outputs(args, args.data)
    named = glue.named_data(args)
    given = named.read(args.split) if named else args.data
    task = _task(args, named)
    for name in files:
        choose(f"output of {task.name}", name, task.files)
    refuse_unread(args, task.settings, f"for {task.name}", "metrics", *FILES)
    rows = task.rows(given, **reading_of(args))
    items = task.filled(rows, args.data)
    task.check_items(items, args.data)
    found = task.outputs(items, batch_size=args.batch_size)
    metrics = args.metrics or (named and named.task.metrics)
    scores = {"examples": len(items), **task.score(items, found, metrics)}
    if files:
        path = files.pop("predictions", None)
        task.write_predictions(path, rows, found, overwrite=args.overwrite, **files)
    if args.report:
        _write_page(args, task, Answered(items, found, scores))
    report(scores, args)


def _write_page(args: argparse.Namespace, task: Task, answered: Answered) -> None:
    page = RunReport(
        task,
        title_of(task),
        {args.data: answered.items},
        answered,
        command=args.command_line,
        texts=args.report_texts,
    )
    page.write(args.report, overwrite=args.overwrite)


def _scores_of_file(args: argparse.Namespace) -> dict[str, float]:
    if not (args.task and args.predictions):
        raise InputError(
            "Expected --model, or without one the --task and a file of --predictions "
            "to score. Received: neither."
        )
    if args.report:
        raise InputError("Expected --model for a --report. Received: none.")
    check_outputs(argparse.Namespace(output=args.output), args.predictions)
    return score_predictions(args)


def _task(args: argparse.Namespace, named: glue.NamedData | None) -> Task:
    kind = TASKS[choose("task", args.task, TASKS)] if args.task else None
    model = load_model(args, None if kind is None or kind.any_head else kind.head)
    kind = kind or next((task for task in TASKS.values() if task.fits(model)), None)
    if kind is None:
        raise InputError(
            f"Expected a model trained for a task: {', '.join(TASKS)}. Received: "
            f"{type(model).__name__}. Train it with keras-bert finetune, or choose its "
            "head with --head."
        )
    if not (kind.any_head or kind.fits(model)):
        raise InputError(
            f"Expected a model trained for {kind.name}. Received: one with other "
            f"labels, {args.model}."
        )
    tokenizer = load_tokenizer(args, model.config)
    labels = named.labels(args, model.config) if named else args.labels
    options = {"labels": labels, "max_length": args.max_length}
    settings = {name: vars(args).get(name) for name in kind.settings}
    return kind.for_model(model, tokenizer, **options, **settings)


def report(scores: dict[str, float], args: argparse.Namespace) -> None:
    """Prints scores as JSON, and writes them to `--output`."""
    # An undefined correlation is NaN, which JSON does not have.
    known = {name: None if v != v else v for name, v in scores.items()}
    text = json.dumps(known, indent=2)
    print(json.dumps(known) if args.json else text)
    if args.output:
        from keras_bert.atomic_files import new_file

        with new_file(args.output, args.overwrite) as path:
            path.write_text(text + "\n", encoding="utf-8")
