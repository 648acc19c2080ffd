"""`keras-bert vocab`: text to a WordPiece vocabulary."""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from keras_bert.atomic_files import refuse_existing
from keras_bert.errors import ConfigError
from keras_bert.tokenization import BertTokenizer
from keras_bert.tokenization.coverage import coverage
from keras_bert.tokenization.files import expand, read_lines
from keras_bert.tokenization.rules import WordRules
from keras_bert.tokenization.vocab import VOCAB_FILE, count_words, train_vocab


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add = parser.add_argument
    add("input", nargs="*", help="text files: names, patterns, comma lists, .gz")
    add("--output", required=True, help="a vocab.txt, or a directory for a tokenizer")
    add("--tfds", metavar="NAME", help="learn from a TFDS data set: name/config")
    add("--split", default="train", help="of the TFDS data set")
    add("--field", default="text", help="of the TFDS data set: where the text is")
    add("--held-out", nargs="+", default=[], metavar="FILE", help="text to try it on")
    add("--vocab-size", "--vocab_size", type=int, default=30522, help="tokens, at most")
    _add_switch(parser, "do-lower-case", True, "lower-case and strip accents")
    _add_switch(parser, "strip-accents", None, "as --do-lower-case unless given")
    _add_switch(
        parser, "tokenize-chinese-chars", True, "make every ideograph a word of its own"
    )
    add("--min-frequency", type=int, default=2, help="how often pieces must meet")
    add(
        "--limit-alphabet",
        type=int,
        default=1000,
        help="single characters kept, the most frequent; Chinese needs 10000",
    )
    add(
        "--unused",
        type=int,
        default=0,
        help="[unused] places after [PAD]; 99 puts [UNK] [CLS] [SEP] [MASK] at 100 to "
        "103 as in Google's releases",
    )
    add("--overwrite", action="store_true", help="replace an existing vocabulary")


def _add_switch(
    parser: argparse.ArgumentParser, name: str, default: bool | None, text: str
) -> None:
    parser.add_argument(
        f"--{name}",
        f"--{name.replace('-', '_')}",
        action=argparse.BooleanOptionalAction,
        default=default,
        help=text,
    )


def run(args: argparse.Namespace) -> None:
    """Trains the vocabulary, writes it and says how well it covers the text."""
    output = Path(args.output)
    target = output if output.suffix else output / VOCAB_FILE
    refuse_existing([target], args.overwrite)
    held_out = expand(args.held_out)
    rules = WordRules(
        args.do_lower_case, args.strip_accents, args.tokenize_chinese_chars
    )
    counts = count_words(_progress(_lines(args)), rules)
    tokens = train_vocab(
        counts,
        args.vocab_size,
        min_frequency=args.min_frequency,
        limit_alphabet=args.limit_alphabet,
        unused=args.unused,
    )
    tokenizer = BertTokenizer(tokens, **rules._asdict())
    if output.suffix:
        tokenizer.save_vocabulary(output, overwrite=args.overwrite)
    else:
        tokenizer.save_pretrained(output, overwrite=args.overwrite)
    print(f"Wrote {len(tokens):,} tokens to {target}: {_composition(tokenizer)}.")
    print(_places(tokenizer))
    _report("Training text", counts, tokenizer)
    if held_out:
        others = count_words(_progress(read_lines(held_out)), rules)
        _report("Held-out text", others, tokenizer)


def _progress(lines: Iterable[str]) -> Iterator[str]:
    return tqdm(lines, desc="reading", unit=" lines", unit_scale=True)


def _lines(args: argparse.Namespace) -> Iterator[str]:
    if not (args.input or args.tfds):
        raise ConfigError("Expected text files, or --tfds with a data set's name.")
    files = expand(args.input)  # missing ones are told before anything is read
    examples = _examples(args.tfds, args.split, args.field) if args.tfds else ()
    return chain(read_lines(files), examples)


def _examples(name: str, split: str, field: str) -> Iterator[str]:
    """Yields the sentences of a data set, through the reader of pretraining data."""
    from keras_bert.pretraining.sources import TensorFlowDatasets

    source = TensorFlowDatasets(name, split, field)
    blocks = chain.from_iterable(map(source.blocks, source.groups()))
    return (
        sentence
        for block in blocks
        for document in source.documents(block)[0]
        for sentence in document
    )


# === What is printed ===


def _composition(tokenizer: BertTokenizer) -> str:
    """Says what the vocabulary is made of."""
    special = set(tokenizer.special_tokens.values())
    kinds = Counter(_kind(t) for t in tokenizer.tokens if t not in special)
    kinds["special tokens"] = len(tokenizer.all_special_ids)
    order = ("special tokens", "[unused] places", "single characters", "words")
    names = [name for name in (*order, "pieces of words") if kinds[name]]
    return ", ".join(f"{kinds[name]:,} {name}" for name in names)


def _kind(token: str) -> str:
    if token.startswith("[unused"):
        return "[unused] places"
    if len(token.removeprefix("##")) == 1:
        return "single characters"
    return "pieces of words" if token.startswith("##") else "words"


def _places(tokenizer: BertTokenizer) -> str:
    special = tokenizer.special_tokens.values()
    return ", ".join(f"{token} is {tokenizer.vocab[token]}" for token in special) + "."


def _report(title: str, counts: Counter[str], tokenizer: BertTokenizer) -> None:
    found = coverage(counts, tokenizer)
    print(f"{title}: {found}.")
    if found.frequent_unknown:
        print(f"  Unknown, most frequent first: {' '.join(found.frequent_unknown)}")
