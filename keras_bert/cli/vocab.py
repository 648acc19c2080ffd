"""`keras-bert vocab`: a WordPiece vocabulary from text."""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from keras_bert.atomic_files import locked_output, refuse_existing
from keras_bert.cli.parsing import add_switch, natural, positive
from keras_bert.errors import ConfigError
from keras_bert.tokenization import BertTokenizer
from keras_bert.tokenization.coverage import coverage
from keras_bert.tokenization.files import expand, read_lines
from keras_bert.tokenization.rules import WordRules
from keras_bert.tokenization.vocab import count_words, train_vocab
from keras_bert.tokenizer_folder import VOCAB_FILE


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add = parser.add_argument
    add("input", nargs="*", help="text files: names, globs, comma-separated, .gz")
    add("--output", required=True, help="a vocab.txt, or a directory for a tokenizer")
    add("--tfds", metavar="NAME", help="train on a TFDS dataset: name/config")
    add("--split", default="train", help="split of the TFDS dataset")
    add("--field", default="text", help="field of the TFDS dataset with the text")
    add(
        "--held-out",
        nargs="+",
        default=[],
        metavar="FILE",
        help="text to measure the coverage of the vocabulary on",
    )
    add("--vocab-size", type=positive, default=30522, help="maximum number of tokens")
    add_switch(parser, "do-lower-case", True, "lowercase text and strip accents")
    add_switch(parser, "strip-accents", None, "by default as --do-lower-case")
    add_switch(
        parser, "tokenize-chinese-chars", True, "split Chinese text into characters"
    )
    add(
        "--min-frequency",
        type=natural,
        default=2,
        help="minimum count of a pair before it is merged",
    )
    add(
        "--limit-alphabet",
        type=positive,
        default=1000,
        help="number of single characters to keep; Chinese needs 10000",
    )
    add(
        "--unused",
        type=natural,
        default=0,
        help="number of [unused] tokens after [PAD]; 99 gives [UNK] [CLS] [SEP] [MASK] "
        "the ids 100 to 103 as in Google's releases",
    )
    add("--overwrite", action="store_true", help="replace an existing vocabulary")


def run(args: argparse.Namespace) -> None:
    """Trains the vocabulary, writes it and prints its coverage of the text."""
    output = Path(args.output)
    target = output if output.suffix else output / VOCAB_FILE
    with locked_output(output):
        refuse_existing([target], args.overwrite)
        _run(args, output, target)


def _run(args: argparse.Namespace, output: Path, target: Path) -> None:
    held_out = expand(args.held_out)
    options = args.do_lower_case, args.strip_accents, args.tokenize_chinese_chars
    rules = WordRules(*options, google_rules=True)
    if args.unused >= args.vocab_size:
        raise ConfigError(
            f"Expected --unused below --vocab-size {args.vocab_size}. Received: "
            f"{args.unused}."
        )
    counts = count_words(_progress(_lines(args)), rules)
    tokens = train_vocab(
        counts,
        args.vocab_size,
        min_frequency=args.min_frequency,
        limit_alphabet=args.limit_alphabet,
        unused=args.unused,
    )
    tokenizer = BertTokenizer(tokens, **WordRules(*options)._asdict())
    if output.suffix:
        tokenizer.save_vocabulary(output, overwrite=args.overwrite)
    else:
        tokenizer.save_pretrained(output, overwrite=args.overwrite)
    print(f"Wrote {len(tokens):,} tokens to {target}: {_composition(tokenizer)}.")
    print(_special_ids(tokenizer))
    _report("Training text", counts, tokenizer)
    if held_out:
        others = count_words(_progress(read_lines(held_out)), rules)
        _report("Held-out text", others, tokenizer)


def _progress(lines: Iterable[str]) -> Iterator[str]:
    return tqdm(lines, desc="reading", unit=" lines", unit_scale=True)


def _lines(args: argparse.Namespace) -> Iterator[str]:
    if not (args.input or args.tfds):
        raise ConfigError("Expected text files, or --tfds with the name of a dataset.")
    files = expand(args.input)  # reports missing files before anything is read
    examples = _examples(args.tfds, args.split, args.field) if args.tfds else ()
    return chain(read_lines(files), examples)


def _examples(name: str, split: str, field: str) -> Iterator[str]:
    """Yields the sentences of a dataset, through the reader of pretraining data."""
    from keras_bert.pretraining.sources import TensorFlowDatasets

    source = TensorFlowDatasets(name, split, field)
    blocks = chain.from_iterable(map(source.blocks, source.groups()))
    return (
        sentence
        for block in blocks
        for document in source.documents(block)[0]
        for sentence in document
    )


# === Output ===


def _composition(tokenizer: BertTokenizer) -> str:
    """Returns how many tokens of each kind the vocabulary has."""
    special = set(tokenizer.special_tokens.values())
    kinds = Counter(_kind(t) for t in tokenizer.tokens if t not in special)
    kinds["special tokens"] = len(tokenizer.all_special_ids)
    order = ("special tokens", "[unused] tokens", "single characters", "words")
    names = [name for name in (*order, "pieces of words") if kinds[name]]
    return ", ".join(f"{kinds[name]:,} {name}" for name in names)


def _kind(token: str) -> str:
    if token.startswith("[unused"):
        return "[unused] tokens"
    if len(token.removeprefix("##")) == 1:
        return "single characters"
    return "pieces of words" if token.startswith("##") else "words"


def _special_ids(tokenizer: BertTokenizer) -> str:
    special = tokenizer.special_tokens.values()
    return ", ".join(f"{token} is {tokenizer.vocab[token]}" for token in special) + "."


def _report(title: str, counts: Counter[str], tokenizer: BertTokenizer) -> None:
    found = coverage(counts, tokenizer)
    print(f"{title}: {found}.")
    if found.frequent_unknown:
        print(f"  Unknown, most frequent first: {' '.join(found.frequent_unknown)}")
