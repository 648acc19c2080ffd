"""`keras-bert export --format …`: models for other runtimes than TF Serving."""

import argparse

from keras_bert.cli.models import (
    add_encoding_argument,
    load_model,
    load_served_tokenizer,
    read_texts,
    size_of,
)
from keras_bert.errors import InputError

SAVED_MODEL = "saved_model"
FORMATS = (SAVED_MODEL, "onnx", "openvino", "litert")
PRECISIONS = ("float32", "int8_dynamic", "int8_weights", "int8")
# Arguments that apply to text input only; other runtimes take ids.
ON_TEXT = ("version", "pairs", "doc_stride", "max_answer_length", "window_pooling")
CALIBRATION_ROWS, BATCH_SIZE = 512, 32


def add_runtime_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of formats other than SavedModel."""
    group = parser.add_argument_group("other runtimes, see docs/runtimes.md")
    group.add_argument(
        "--format", choices=FORMATS, default=SAVED_MODEL, help="what to write"
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="precision of the weights: int8_dynamic for ONNX, int8_weights for "
        "OpenVINO, int8 for either, with --calibrate",
    )
    group.add_argument(
        "--calibrate", metavar="FILE", help="typical texts for int8, one per line"
    )
    add_encoding_argument(group)
    group.add_argument(
        "--overwrite", action="store_true", help="replace an ONNX or LiteRT directory"
    )


def wants_runtime(args: argparse.Namespace) -> bool:
    """Returns whether the format is not SavedModel.

    Raises:
        InputError: an argument of other formats with SavedModel.
    """
    if args.format != SAVED_MODEL:
        return True
    if args.precision != "float32" or args.calibrate or args.overwrite:
        raise InputError(
            "Expected --format onnx, openvino or litert with --precision, --calibrate "
            "or --overwrite. Received: none, which exports a SavedModel."
        )
    return False


def export_for_runtime(args: argparse.Namespace) -> None:
    """Loads the checkpoint and exports it."""
    from keras_bert.serving.runtimes import export

    _check_length(args)
    given = [name for name in ON_TEXT if getattr(args, name, None)]
    if given:
        raise InputError(
            f"Expected --{given[0].replace('_', '-')} with --format {SAVED_MODEL} "
            f"only. Received: --format {args.format}, whose input is ids."
        )
    model = load_model(args, "encoder" if args.embeddings else None)
    tokenizer = load_served_tokenizer(args, model.config)
    path = export(
        model,
        args.output,
        args.format,
        tokenizer,
        precision=args.precision,
        calibration=_calibration(args, tokenizer) if args.calibrate else (),
        length=args.max_length if args.format == "litert" else None,
        labels=args.labels,
        embeddings=args.embeddings,
        normalize=args.normalize,
        overwrite=args.overwrite,
    )
    print(f"Wrote {path}, {size_of(path)}")
    print(
        f"Run it: keras_bert.serving.runtimes.load({str(path)!r}), see docs/runtimes.md"
    )


def _check_length(args: argparse.Namespace) -> None:
    free = args.format != "litert"
    if free and args.max_length is not None and not args.calibrate:
        raise InputError(
            f"Expected no --max-length with --format {args.format}, which takes rows "
            "of any length. Truncate the text when you tokenize it."
        )
    if args.precision == "int8" and not args.calibrate:
        raise InputError(
            "Expected --calibrate FILE with --precision int8: a few hundred typical "
            "texts, one per line. Received: none."
        )


def _calibration(args: argparse.Namespace, tokenizer: object) -> list[dict]:
    if tokenizer is None:
        raise InputError("Expected a tokenizer with --calibrate. Received: none.")
    texts = read_texts(args.calibrate, CALIBRATION_ROWS, args.encoding)
    return [
        tokenizer(
            texts[i : i + BATCH_SIZE],
            max_length=args.max_length or 128,
            padding=True,
            truncation=True,
        )
        for i in range(0, len(texts), BATCH_SIZE)
    ]
