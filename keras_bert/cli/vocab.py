"""`keras-bert vocab`: text to a WordPiece vocabulary."""

import argparse
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from keras_bert.tokenization import BertTokenizer
from keras_bert.tokenization.files import expand, read_lines
from keras_bert.tokenization.rules import WordRules
from keras_bert.tokenization.tokenizer import refuse_existing
from keras_bert.tokenization.vocab import VOCAB_FILE, count_words, train_vocab


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add = parser.add_argument
    add("input", nargs="+", help="text files: names, patterns, comma lists, .gz")
    add("--output", required=True, help="a vocab.txt, or a directory for a tokenizer")
    add("--vocab-size", "--vocab_size", type=int, default=30522, help="tokens, at most")
    add(
        "--do-lower-case",
        "--do_lower_case",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="lower-case and strip accents",
    )
    add("--min-frequency", type=int, default=2, help="how often pieces must meet")
    add("--limit-alphabet", type=int, default=1000, help="single characters kept")
    add(
        "--unused",
        type=int,
        default=0,
        help="[unused] places; 99 puts [UNK] at 100 as in Google's releases",
    )
    add("--overwrite", action="store_true", help="replace an existing vocabulary")


def run(args: argparse.Namespace) -> None:
    """Trains the vocabulary, writes it and says how well it covers the text."""
    output = Path(args.output)
    target = output if output.suffix else output / VOCAB_FILE
    refuse_existing([target], args.overwrite)
    files = expand(args.input)
    lines = tqdm(read_lines(files), desc="reading", unit=" lines", unit_scale=True)
    counts = count_words(lines, WordRules(args.do_lower_case))
    tokens = train_vocab(
        counts,
        args.vocab_size,
        min_frequency=args.min_frequency,
        limit_alphabet=args.limit_alphabet,
        unused=args.unused,
    )
    tokenizer = BertTokenizer(tokens, args.do_lower_case)
    if output.suffix:
        tokenizer.save_vocabulary(output, overwrite=args.overwrite)
    else:
        tokenizer.save_pretrained(output, overwrite=args.overwrite)
    print(f"Wrote {len(tokens):,} tokens to {target}.")
    print(_coverage(counts, tokenizer))


def _coverage(counts: Counter[str], tokenizer: BertTokenizer) -> str:
    total = sum(counts.values())
    whole = sum(n for word, n in counts.items() if word in tokenizer.vocab)
    ids = {word: tokenizer.text_to_ids(word) for word in counts}
    pieces = sum(n * len(ids[word]) for word, n in counts.items())
    unknown_id = tokenizer.unk_token_id
    unknown = sum(n for word, n in counts.items() if unknown_id in ids[word])
    return (
        f"Of {total:,} words {whole / total:.2%} are one token and "
        f"{unknown / total:.4%} unknown; {pieces / total:.3f} tokens per word."
    )
