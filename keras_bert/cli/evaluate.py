"""`keras-bert evaluate`: scores of a fine-tuned model on labeled data."""

import argparse
import json
from pathlib import Path

from keras_bert.cli.labels import LISTS, check_lists, label_names
from keras_bert.cli.models import (
    add_dtype_argument,
    add_model_arguments,
    load_model,
    load_tokenizer,
)
from keras_bert.cli.parsing import positive
from keras_bert.cli.tables import add_table_arguments, examples_of, table_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_model_arguments(parser)
    add_dtype_argument(parser)
    parser.set_defaults(head="sequence_classification")
    parser.add_argument(
        "--data", required=True, metavar="FILE", help="a table, or - for standard input"
    )
    add_table_arguments(parser)
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help="accuracy, f1, f1_macro, f1_micro, matthews_correlation, pearson, "
        "spearman, mean_squared_error; by default those usual for the labels",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="write the scores to a .json file"
    )
    parser.add_argument(
        "--predictions", metavar="FILE", help="write every prediction to a .jsonl file"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the outputs")
    parser.add_argument(
        "--batch-size", type=positive, default=32, help="rows per batch"
    )


def run(args: argparse.Namespace) -> None:
    """Predicts every example, prints the scores and writes the outputs."""
    from keras_bert import tasks
    from keras_bert.atomic_files import refuse_existing

    outputs = [args.output, args.predictions]
    refuse_existing([Path(name) for name in outputs if name], args.overwrite)
    table = table_of(args, args.data)
    rows = list(examples_of(args, table))
    examples = tasks.filled(rows, table.name)
    model = load_model(args)
    names = label_names(model.config, args.labels)
    several = model.config.problem_type == LISTS
    check_lists(examples, several, table.name)
    features, labels = tasks.encode(
        examples,
        load_tokenizer(args, model.config),
        args.max_length,
        names,
        source=table.name,
    )
    logits = model.predict(features, batch_size=args.batch_size, verbose=0)
    scores = tasks.score(labels, logits, args.metrics)
    scores = {"examples": len(examples), **scores}
    if args.predictions:
        tasks.write_predictions(
            args.predictions,
            rows,
            logits,
            names,
            multi_label=several,
            overwrite=args.overwrite,
        )
    report(scores, args)


def report(scores: dict[str, float], args: argparse.Namespace) -> None:
    """Prints scores as JSON, and writes them to `--output`."""
    # An undefined correlation is NaN, which JSON does not have.
    known = {name: None if v != v else v for name, v in scores.items()}
    text = json.dumps(known, indent=2)
    print(text)
    if args.output:
        from keras_bert.atomic_files import new_file

        with new_file(args.output, args.overwrite) as path:
            path.write_text(text + "\n", encoding="utf-8")
