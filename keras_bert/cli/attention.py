"""`keras-bert attention`: heat maps of the attention of each head."""

import argparse
from pathlib import Path
from typing import Any

from keras_bert.analysis import attention_maps, plot_attention, write_report
from keras_bert.analysis.report import AttentionView, Section, Text
from keras_bert.atomic_files import refuse_existing
from keras_bert.cli.models import add_model_arguments, load_model, load_tokenizer
from keras_bert.cli.parsing import integers
from keras_bert.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_model_arguments(parser)
    parser.add_argument("text", metavar="TEXT", help="the text")
    parser.add_argument("--pair", metavar="TEXT", help="a second text")
    parser.add_argument(
        "--output",
        default="attention.png",
        metavar="FILE",
        help="the .png to write, or an .html page with all heads to choose from",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output")
    parser.add_argument(
        "--layers", type=integers, metavar="N,N", help="layers, from 0; by default all"
    )
    parser.add_argument(
        "--heads", type=integers, metavar="N,N", help="heads, from 0; by default all"
    )


def run(args: argparse.Namespace) -> None:
    """Computes the attention of one text and draws it."""
    as_page = Path(args.output).suffix == ".html"
    if as_page and (args.layers or args.heads):
        raise InputError(
            "Expected --layers and --heads for a picture (.png). Received: an .html "
            "page, which has all of them to choose from."
        )
    refuse_existing([Path(args.output)], args.overwrite)
    model = load_model(args)
    inputs = model, load_tokenizer(args, model.config), args.text, args.pair
    (_write_page if as_page else _plot)(args, *inputs)
    print(f"Wrote {args.output}")


def _plot(args: argparse.Namespace, *inputs: Any) -> None:
    maps = attention_maps(*inputs, max_length=args.max_length)
    shown = {"layers": args.layers, "heads": args.heads}
    plot_attention(*maps, args.output, **shown, overwrite=args.overwrite)


def _write_page(args: argparse.Namespace, model: Any, *inputs: Any) -> None:
    view = AttentionView.of(model, *inputs, max_length=args.max_length)
    text = Text(" | ".join(filter(None, (args.text, args.pair))))
    sections = [Section(type(model).__name__, [text, view])]
    write_report(args.output, "Attention", sections, overwrite=args.overwrite)
