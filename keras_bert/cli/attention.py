"""`keras-bert attention`: heat maps of the attention of each head."""

import argparse

from keras_bert.cli.models import add_model_arguments, load_model, load_tokenizer
from keras_bert.cli.parsing import integers


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_model_arguments(parser)
    parser.add_argument("text", metavar="TEXT", help="the text")
    parser.add_argument("--pair", metavar="TEXT", help="a second text")
    parser.add_argument(
        "--output", default="attention.png", metavar="FILE", help="the PNG to write"
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
    from keras_bert.analysis import attention_maps, plot_attention

    model = load_model(args)
    tokens, probabilities = attention_maps(
        model,
        load_tokenizer(args, model.config),
        args.text,
        args.pair,
        max_length=args.max_length,
    )
    path = plot_attention(
        tokens,
        probabilities,
        args.output,
        layers=args.layers,
        heads=args.heads,
        overwrite=args.overwrite,
    )
    print(f"Wrote {path}")
