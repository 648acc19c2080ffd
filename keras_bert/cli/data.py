"""`keras-bert data`: text to pretraining records, by the flags of Google's script."""

import argparse
from dataclasses import fields

from keras_bert.pretraining.create import (
    GOOGLE_LIMIT_MB,
    POLICIES,
    DataSettings,
    create_pretraining_data,
)
from keras_bert.tokenization import BertTokenizer

_HELP = {
    "max_seq_length": "tokens of a row",
    "max_predictions_per_seq": "masked positions of a row, at most",
    "masked_lm_prob": "share of a row's tokens that is masked",
    "short_seq_prob": "how often a row is made shorter than it could be",
    "dupe_factor": "passes over the corpus, each paired and masked anew",
    "do_whole_word_mask": "mask all pieces of a word together",
    "random_seed": "seed of every draw",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments: Google's flags by their names, and a few more."""
    add = parser.add_argument
    add("--input_file", required=True, help="text: names, patterns, comma list, .gz")
    add(
        "--output_file", required=True, help="records: comma list; name@4 makes 4 files"
    )
    add("--vocab_file", required=True, help="vocab.txt, or a tokenizer's directory")
    _add_bool(parser, "do_lower_case", None, "lower-case; default True for a vocab.txt")
    for field in fields(DataSettings):
        if field.type is bool:
            _add_bool(parser, field.name, field.default, _HELP[field.name])
        else:
            text = _HELP[field.name]
            add(f"--{field.name}", type=field.type, default=field.default, help=text)
    add("--policy", choices=POLICIES, default="default", help="rules of the draws")
    add("--workers", type=int, default=1, help="processes (default policy)")
    add(
        "--google_limit_mb",
        type=float,
        default=GOOGLE_LIMIT_MB,
        help="input the google policy takes; it holds the corpus in memory",
    )
    add("--overwrite", action="store_true", help="replace existing records")


def run(args: argparse.Namespace) -> None:
    """Makes the records and says how many."""
    lower = {} if args.do_lower_case is None else {"do_lower_case": args.do_lower_case}
    tokenizer = BertTokenizer.from_pretrained(args.vocab_file, **lower)
    values = {field.name: getattr(args, field.name) for field in fields(DataSettings)}
    written = create_pretraining_data(
        args.input_file,
        args.output_file,
        tokenizer,
        DataSettings(**values),
        policy=args.policy,
        workers=args.workers,
        limit_mb=args.google_limit_mb,
        overwrite=args.overwrite,
    )
    print(f"Wrote {written:,} records to {args.output_file}.")


def _add_bool(
    parser: argparse.ArgumentParser, name: str, default: bool | None, text: str
) -> None:
    """A flag in absl's spellings: `--x`, `--x=False`, `--nox`."""
    parser.add_argument(
        f"--{name}", type=_boolean, nargs="?", const=True, default=default, help=text
    )
    parser.add_argument(
        f"--no{name}", dest=name, action="store_false", help=argparse.SUPPRESS
    )


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "yes": True, "t": True}
    values |= {"false": False, "0": False, "no": False, "f": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"expected True or False, received {text!r}")
    return values[text.lower()]
