"""`keras-bert data`: text to pretraining records, by the flags of Google's script."""

import argparse
import shlex
from collections import Counter
from dataclasses import fields
from inspect import signature

from keras_bert.errors import ConfigError
from keras_bert.features import NAMINGS
from keras_bert.pretraining.create import (
    GOOGLE_LIMIT_MB,
    POLICIES,
    create_pretraining_data,
)
from keras_bert.pretraining.masking import UNITS
from keras_bert.pretraining.pairs import OBJECTIVES
from keras_bert.pretraining.settings import FORMS, DataSettings
from keras_bert.pretraining.sources import SOURCES, Source, describe_irregularities
from keras_bert.tokenization import BertTokenizer

_HELP = {
    "max_seq_length": "tokens of a row",
    "max_predictions_per_seq": "masked positions of a row, at most",
    "masked_lm_prob": "share of a row's tokens that is masked",
    "short_seq_prob": "how often a text is made shorter than it could be",
    "dupe_factor": "passes over the corpus, each paired and masked anew",
    "random_seed": "seed of every draw",
    "objective": "next sentence, sentence order, or full sentences without a question",
    "masking": "what is masked together",
    "max_ngram_size": "words of an n-gram, at most, with --masking=ngram",
    "chinese_whole_words": "words of Chinese text are jieba's; needs [chinese]",
    "pieces_per_row": "above 1, up to so many short texts share a row",
    "form": "masked now (static), or whenever they are read (compact)",
    "naming": "field names of the records",
}
_CHOICES = {
    "objective": tuple(OBJECTIVES),
    "masking": UNITS,
    "form": FORMS,
    "naming": NAMINGS,
}
# Flags of other scripts that set one of ours.
_ALIASES = {
    "do_whole_word_mask": ("masking", "word"),
    "use_v2_feature_names": ("naming", "model_garden"),
}
_BEAM = ("--default_sdk_harness_log_level=WARNING",)
_SOURCE_OPTIONS = ("field", "split", "per_file", "wrapped")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments: Google's flags by their names, and a few more."""
    add = parser.add_argument
    add("--input_file", help="text: names, patterns, comma list, .gz; or a TFDS name")
    add("--output_file", help="records: comma list; name@4 makes 4 files; .gz packs")
    add("--vocab_file", required=True, help="vocab.txt, or a tokenizer's directory")
    _add_bool(parser, "do_lower_case", None, "lower-case; default True for a vocab.txt")
    _add_settings(parser)
    _add_source(parser)
    add("--policy", choices=POLICIES, default="default", help="rules of the draws")
    add("--workers", type=int, default=1, help="processes (default policy)")
    add(
        "--google_limit_mb",
        type=float,
        default=GOOGLE_LIMIT_MB,
        help="input the google policy takes; it holds the corpus in memory",
    )
    add(
        "--runner", help="run on Apache Beam: DirectRunner, FlinkRunner, SparkRunner, …"
    )
    add("--beam_options", default="", help="flags of Beam and its runner, in quotes")
    add("--overwrite", action="store_true", help="replace existing records")
    add("--inspect", metavar="RECORDS", help="print records as text, and statistics")
    add("--picture", metavar="PNG", help="with --inspect, draw the statistics")


def run(args: argparse.Namespace) -> None:
    """Makes the records and says what was counted, or inspects them."""
    lower = {} if args.do_lower_case is None else {"do_lower_case": args.do_lower_case}
    tokenizer = BertTokenizer.from_pretrained(args.vocab_file, **lower)
    if args.inspect:
        _inspect(args, tokenizer)
        return
    if not (args.input_file and args.output_file):
        raise ConfigError("Expected --input_file and --output_file, or --inspect.")
    counts = (_on_beam if args.runner else _here)(args, tokenizer)
    print(f"Wrote {counts['records']:,} records to {args.output_file}.")
    for line in _report(counts):
        print(line)


def _here(args: argparse.Namespace, tokenizer: BertTokenizer) -> Counter[str]:
    return create_pretraining_data(
        args.input_file if args.policy == "google" else _source(args),
        args.output_file,
        tokenizer,
        _settings(args),
        policy=args.policy,
        workers=args.workers,
        limit_mb=args.google_limit_mb,
        overwrite=args.overwrite,
    )


def _on_beam(args: argparse.Namespace, tokenizer: BertTokenizer) -> Counter[str]:
    from keras_bert.pretraining.beam import create_on_beam

    if args.policy == "google":
        raise ConfigError("The google policy runs on one process, not on Beam.")
    return create_on_beam(
        _source(args),
        args.output_file,
        tokenizer,
        _settings(args),
        [f"--runner={args.runner}", *_BEAM, *shlex.split(args.beam_options)],
        overwrite=args.overwrite,
    )


def _inspect(args: argparse.Namespace, tokenizer: BertTokenizer) -> None:
    from keras_bert.pretraining import inspection, inspection_report
    from keras_bert.tf_startup import start_tensorflow

    start_tensorflow()
    masking = _settings(args).masking_settings
    found = inspection.inspect_records(args.inspect, tokenizer, masking=masking)
    print(inspection_report.format_inspection(found))
    if args.picture:
        inspection_report.draw(found, args.picture, overwrite=args.overwrite)
        print(f"Drew {args.picture}.")


# Settings


def _add_settings(parser: argparse.ArgumentParser) -> None:
    for field in fields(DataSettings):
        text, default = _HELP[field.name], field.default
        if field.type is bool:
            _add_bool(parser, field.name, default, text)
        else:
            choices = _CHOICES.get(field.name)
            name = f"--{field.name}"
            parser.add_argument(
                name, type=field.type, default=default, choices=choices, help=text
            )
    for alias, (name, value) in _ALIASES.items():
        _add_bool(parser, alias, False, f"the same as --{name}={value}")


def _settings(args: argparse.Namespace) -> DataSettings:
    values = {field.name: getattr(args, field.name) for field in fields(DataSettings)}
    values |= {name: value for a, (name, value) in _ALIASES.items() if getattr(args, a)}
    return DataSettings(**values)


# Sources


def _add_source(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--source",
        choices=tuple(SOURCES),
        default="text",
        help="sentences on lines (text), running text (documents), JSON lines, TFDS",
    )
    add("--field", help="of JSON lines and TFDS: where the text is; default text")
    add("--split", help="of TFDS; default train")
    _add_bool(parser, "per_file", None, "of documents: a file is one document")
    _add_bool(parser, "wrapped", None, "running text has line ends inside sentences")


def _source(args: argparse.Namespace) -> Source:
    kind = SOURCES[args.source]
    given = {n: getattr(args, n) for n in _SOURCE_OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name not in signature(kind).parameters:
            raise ConfigError(f"--source={args.source} does not take --{name}.")
    return kind(args.input_file, **given)


# Report


def _report(counts: Counter[str]) -> list[str]:
    lines = []
    if counts["documents"]:
        lines.append(
            f"From {counts['documents']:,} documents, {counts['sentences']:,} "
            f"sentences, {counts['tokens']:,} tokens "
            f"({counts['unknown_tokens'] / counts['tokens']:.3%} unknown)."
        )
    if counts["predictions"]:
        shares = (counts[k] / counts["predictions"] for k in ("masked", "kept"))
        masked, kept = shares
        lines.append(
            f"Masked {counts['predictions']:,} tokens: {masked:.1%} [MASK], "
            f"{kept:.1%} kept, {1 - masked - kept:.1%} random."
        )
    return lines + describe_irregularities(counts)


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
