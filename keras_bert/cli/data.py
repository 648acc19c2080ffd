"""`keras-bert data`: pretraining records from text, by the flags of Google's script."""

import argparse
import shlex
from collections import Counter
from dataclasses import fields
from inspect import signature

from keras_bert.cli.parsing import add_switch, positive
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
from keras_bert.pretraining.words import WORDS
from keras_bert.tokenization import BertTokenizer

_HELP = {
    "max_seq_length": "tokens per row",
    "max_predictions_per_seq": "maximum number of masked tokens per row",
    "masked_lm_prob": "fraction of tokens to mask",
    "short_seq_prob": "probability of a row that is shorter than it could be",
    "dupe_factor": "passes over the corpus, each with new pairs and masks",
    "random_seed": "random seed",
    "objective": "next sentence (nsp), sentence order (sop), or full sentences (none)",
    "masking": "unit that is masked together",
    "max_ngram_size": "longest n-gram in words, with --masking=ngram",
    "words": "where Chinese words come from: every ideograph is one (tokenizer), jieba "
    "(extra chinese), or spaces in the text",
    "user_dict": "dictionary for jieba, `word [frequency [tag]]` a line",
    "pieces_per_row": "maximum number of short texts packed into one row",
    "form": "mask now (static), or each time the records are read (compact)",
    "naming": "field names of the records",
}
_CHOICES = {
    "objective": tuple(OBJECTIVES),
    "masking": UNITS,
    "words": WORDS,
    "form": FORMS,
    "naming": NAMINGS,
}
# Flags of other scripts, and the setting they stand for.
_ALIASES = {
    "do_whole_word_mask": ("masking", "word"),
    "use_v2_feature_names": ("naming", "model_garden"),
    "chinese_whole_words": ("words", "jieba"),
}
_BEAM = ("--default_sdk_harness_log_level=WARNING",)
_SOURCE_OPTIONS = ("field", "split", "per_file", "wrapped")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments: those of Google's script, and a few more."""
    add = parser.add_argument
    add(
        "--input-file", help="text files: names, globs, comma-separated, .gz; or a TFDS"
    )
    add(
        "--output-file",
        help="record files, comma-separated; name@4: 4 files; .gz: gzip",
    )
    add("--vocab-file", required=True, help="vocab.txt, or a tokenizer directory")
    add_switch(
        parser,
        "do_lower_case",
        None,
        "lowercase text; by default as the tokenizer says",
    )
    _add_settings(parser)
    _add_source(parser)
    add(
        "--policy",
        choices=POLICIES,
        default="default",
        help="how rows are drawn: independent of --workers, or as Google's script",
    )
    add(
        "--workers",
        type=positive,
        default=1,
        help="number of processes (default policy)",
    )
    add(
        "--google-limit-mb",
        type=float,
        default=GOOGLE_LIMIT_MB,
        help="largest input of the google policy, which holds it in memory",
    )
    add(
        "--runner", help="run on Apache Beam: DirectRunner, FlinkRunner, SparkRunner, …"
    )
    add("--beam-options", help="flags of Beam and its runner, quoted")
    add("--overwrite", action="store_true", help="replace existing records")
    add("--inspect", metavar="RECORDS", help="print records as text, with statistics")
    add("--picture", metavar="PNG", help="with --inspect, plot the statistics")


def run(args: argparse.Namespace) -> None:
    """Creates the records and prints statistics, or inspects existing records."""
    lower = {} if args.do_lower_case is None else {"do_lower_case": args.do_lower_case}
    tokenizer = BertTokenizer.from_pretrained(
        args.vocab_file, google_rules=True, max_word_length=None, **lower
    )
    if args.inspect:
        _inspect(args, tokenizer)
        return
    if not (args.input_file and args.output_file):
        raise ConfigError("Expected --input-file and --output-file, or --inspect.")
    counts = (_on_beam if args.runner else _here)(args, tokenizer)
    print(f"Wrote {counts['records']:,} records to {args.output_file}.")
    for line in _report(counts, _settings(args)):
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
        raise ConfigError(
            "Expected --policy default with --runner. Received: google, which runs in "
            "one process."
        )
    return create_on_beam(
        _source(args),
        args.output_file,
        tokenizer,
        _settings(args),
        [f"--runner={args.runner}", *_BEAM, *shlex.split(args.beam_options or "")],
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
            add_switch(parser, field.name, default, text)
        else:
            choices = _CHOICES.get(field.name)
            name = _flag(field.name)
            parser.add_argument(
                name, type=field.type, default=default, choices=choices, help=text
            )
    for alias, (name, value) in _ALIASES.items():
        add_switch(parser, alias, False, f"the same as {_flag(name)}={value}")


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
        help="one sentence per line (text), running text (documents), JSON lines, TFDS",
    )
    add("--field", help="field with the text, for JSON lines and TFDS; by default text")
    add("--split", help="split of a TFDS; by default train")
    add_switch(parser, "per_file", None, "for documents: a file is one document")
    add_switch(parser, "wrapped", None, "for documents: lines end within sentences")


def _source(args: argparse.Namespace) -> Source:
    kind = SOURCES[args.source]
    given = {n: getattr(args, n) for n in _SOURCE_OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name not in signature(kind).parameters:
            raise ConfigError(f"Expected no {_flag(name)} with --source={args.source}.")
    return kind(args.input_file, **given)


# Report


MOST_RANDOM = 0.65  # of the second texts; half are meant to be
MANY_IDEOGRAPHS = 0.05  # of the tokens; a text with fewer is not Chinese


def _report(counts: Counter[str], settings: DataSettings) -> list[str]:
    lines = []
    if counts["documents"]:
        lines.append(
            f"From {counts['documents']:,} documents, {counts['sentences']:,} "
            f"sentences, {counts['tokens']:,} tokens "
            f"({counts['unknown_tokens'] / counts['tokens']:.3%} unknown)."
        )
        lines += _describe_ideographs(counts["ideographs"] / counts["tokens"], settings)
    if counts["predictions"]:
        shares = (counts[k] / counts["predictions"] for k in ("masked", "kept"))
        masked, kept = shares
        lines.append(
            f"Masked {counts['predictions']:,} tokens: {masked:.1%} [MASK], "
            f"{kept:.1%} kept, {1 - masked - kept:.1%} random."
        )
    if counts["random_or_swapped"]:
        lines += _describe_second_texts(counts["random_or_swapped"] / counts["pieces"])
    return lines + describe_irregularities(counts)


def _describe_ideographs(share: float, settings: DataSettings) -> list[str]:
    whole = settings.masking == "token" or settings.words != "tokenizer"
    if whole or share < MANY_IDEOGRAPHS:
        return []
    return [
        f"Chinese: {share:.1%} of the tokens are ideographs, and each was masked as a "
        "word of its own. For whole words use --words=jieba, or --words=spaces if the "
        "text has spaces between words."
    ]


def _describe_second_texts(share: float) -> list[str]:
    lines = [
        f"Second texts: {1 - share:.1%} follow the first, {share:.1%} are random or "
        "swapped."
    ]
    if share > MOST_RANDOM:
        lines.append(
            "That is not about half: most documents are too short to be divided. If "
            "lines are wrapped, or blank lines separate paragraphs, use "
            "--source=documents, with --per-file if each file is one document."
        )
    return lines


# Flags


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
