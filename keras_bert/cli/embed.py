"""`keras-bert embed`: a vector of each text, as a file of NumPy or lines of JSON."""

import argparse
import sys
from functools import partial
from pathlib import Path

from keras_bert.cli.beam_answers import add_beam_arguments, rows_of
from keras_bert.cli.embeddings import Answerer, add_embedding_arguments
from keras_bert.cli.tables import add_text_arguments, texts_of
from keras_bert.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_embedding_arguments(parser)
    add_text_arguments(
        parser,
        "one text per line",
        output="a .npy file, float32 (rows, numbers), in the order of the rows; or a "
        ".jsonl file; by default lines of JSON are printed",
        pairs=False,
    )
    add_beam_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Writes the vector of every text or row, in order; none for blank rows."""
    from keras_bert.atomic_files import new_file, refuse_existing
    from keras_bert.tasks.vector_files import SUFFIXES, write_lines, write_vectors

    if args.output and Path(args.output).suffix not in SUFFIXES:
        raise InputError(
            f"Expected an output of {' or '.join(SUFFIXES)}. Received: {args.output}."
        )
    refuse_existing([Path(args.output)] if args.output else [], args.overwrite)
    texts = texts_of(args, pairs=False)
    answerer = Answerer(args)
    load = partial(Answerer, args) if args.runner else lambda: answerer
    rows = rows_of(args, texts, load)
    if not args.output:
        write_lines(sys.stdout, rows)
        return
    with new_file(args.output, args.overwrite) as path:
        count = write_vectors(path, rows, answerer.width)
    print(f"Wrote {args.output}, {count:,} vectors of {answerer.width} numbers")
