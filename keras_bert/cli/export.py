"""`keras-bert export`: a SavedModel for TF Serving, from a checkpoint."""

import argparse
from pathlib import Path

from keras_bert.cli.models import (
    add_answer_arguments,
    add_dtype_argument,
    add_model_arguments,
    answer_options,
    load_model,
    load_served_tokenizer,
    size_of,
)
from keras_bert.cli.runtimes import (
    add_runtime_arguments,
    export_for_runtime,
    wants_runtime,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_model_arguments(parser)
    add_dtype_argument(parser)
    add_answer_arguments(parser)
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="directory of the model; the version is a subdirectory",
    )
    parser.add_argument(
        "--version", type=int, help="version number; by default the next free one"
    )
    parser.add_argument(
        "--pairs",
        action=argparse.BooleanOptionalAction,
        help="whether serving_default takes text_pair as well as text; by default as "
        "the head or the task of the checkpoint requires",
    )
    parser.add_argument(
        "--ids-only", action="store_true", help="export no signatures for text"
    )
    add_runtime_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Loads the checkpoint and exports the next version."""
    if wants_runtime(args):
        return export_for_runtime(args)
    from keras_bert.serving.export import export

    model = load_model(args, "encoder" if args.embeddings else None)
    path = export(
        model,
        args.output,
        load_served_tokenizer(args, model.config),
        max_length=args.max_length,
        labels=args.labels,
        version=args.version,
        pairs=args.pairs,
        **answer_options(args),
    )
    print(f"Wrote {path}, {size_of(path)}")
    _print_signatures(path)
    name = path.absolute().parent.name
    print(f"Try it: keras-bert serve --model {name}={path.parent}")


def _print_signatures(path: Path) -> None:
    from keras_bert.serving.graph import model_card

    signatures = model_card.read(path)["signatures"]
    width = max(map(len, signatures))
    for name, tensors in sorted(signatures.items()):
        sides = (", ".join(tensors[side]) for side in ("inputs", "outputs"))
        print(f"  {name:<{width}}  {' -> '.join(sides)}")
