"""`keras-bert evaluate`: scores of a fine-tuned model on labeled data."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_bert.cli.models import (
    add_column_arguments,
    add_dtype_argument,
    add_model_arguments,
    load_model,
    load_tokenizer,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_model_arguments(parser)
    add_dtype_argument(parser)
    parser.set_defaults(head="sequence_classification")
    parser.add_argument(
        "--data", required=True, metavar="FILE", help="a .tsv, .csv or .jsonl file"
    )
    add_column_arguments(parser)
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help="accuracy, f1, f1_macro, matthews_correlation, pearson, spearman, "
        "mean_squared_error; by default those usual for the labels",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="write the scores to a .json file"
    )
    parser.add_argument(
        "--predictions", metavar="FILE", help="write every prediction to a .jsonl file"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the outputs")
    parser.add_argument("--batch-size", type=int, default=32, help="rows per batch")


def run(args: argparse.Namespace) -> None:
    """Predicts every example, prints the scores and writes the outputs."""
    from keras_bert import tasks
    from keras_bert.atomic_files import refuse_existing

    outputs = [args.output, args.predictions]
    refuse_existing([Path(name) for name in outputs if name], args.overwrite)
    examples = tasks.read_examples(
        args.data, text=args.text, text_pair=args.text_pair, label=args.label
    )
    model = load_model(args)
    names = label_names(model.config, args.labels)
    features, labels = tasks.encode(
        examples, load_tokenizer(args, model.config), args.max_length, names
    )
    logits = model.predict(features, batch_size=args.batch_size, verbose=0)
    scores = tasks.score(labels, logits, args.metrics)
    scores = {"examples": len(examples), **scores}
    if args.predictions:
        tasks.write_predictions(
            args.predictions, examples, logits, names, overwrite=args.overwrite
        )
    _report(scores, args)


def label_names(config: Any, given: Sequence[str] | None) -> list[str] | None:
    """Returns the class names in the data, or None if labels are numbers.

    Without class names in the config they are the ids: "0", "1", "2" …
    """
    if given:
        return list(given)
    if config.num_labels == 1:
        return None
    ids = [str(i) for i in range(config.num_labels)]
    return config.labels if config.id2label else ids


def _report(scores: dict[str, float], args: argparse.Namespace) -> None:
    text = json.dumps(scores, indent=2)
    print(text)
    if args.output:
        from keras_bert.atomic_files import new_file

        with new_file(args.output, args.overwrite) as path:
            path.write_text(text + "\n", encoding="utf-8")
