"""Vocabularies: their files, and learning them from counted words."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from keras_bert.errors import ConfigError, InputError, MissingFileError
from keras_bert.tokenization.rules import WordRules
from keras_bert.tokenizer_folder import (
    SPECIAL_TOKENS,
    read_fast,
    read_vocabulary,
    tokens_by_id,
    wordpiece_model,
)


def load_vocab(path: str | Path) -> list[str]:
    """Reads a vocabulary from a `vocab.txt` or `tokenizer.json`.

    Args:
        path: the file.

    Returns:
        The tokens; a token's index is its id.

    Raises:
        MissingFileError: there is no such file.
        InputError: the file is empty or not UTF-8 text.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(
            f"Expected a vocabulary file at {path}, found none. "
            "Give the path of a vocab.txt, one token per line."
        )
    if path.suffix == ".json":
        return tokens_by_id(wordpiece_model(read_fast(path), path), path)
    return read_vocabulary(path)


def count_words(lines: Iterable[str], rules: WordRules) -> Counter[str]:
    """Counts the words of a text after normalization.

    Args:
        lines: strings, consumed once and not held in memory.
        rules: how text is normalized and split.

    Returns:
        The count of each word.

    Example:
        >>> count_words(["A rose is a rose."], WordRules()).most_common(1)
        [('a', 2)]
    """
    seen: Counter[str] = Counter()
    chunks = rules.chunks
    for line in lines:
        seen.update(chunks(line))
    counts: Counter[str] = Counter()
    for chunk, count in seen.items():
        for word in rules.words(chunk):
            counts[word] += count
    return counts


def train_vocab(
    counts: Counter[str],
    vocab_size: int,
    *,
    min_frequency: int = 2,
    limit_alphabet: int = 1000,
    unused: int = 0,
    progress: bool = False,
) -> list[str]:
    """Learns a WordPiece vocabulary from counted words.

    Equal counts give an equal vocabulary, token by token.

    Args:
        counts: word to count, from `count_words`.
        vocab_size: the most tokens of the vocabulary.
        min_frequency: minimum count of a pair before it is merged.
        limit_alphabet: the most single characters, by frequency.
        unused: the number of `[unused]` tokens after `[PAD]`; 99 puts
            `[UNK] [CLS] [SEP] [MASK]` at 100 to 103, as in Google's releases.
        progress: show the trainer's progress bar.

    Returns:
        The tokens; a token's index is its id.

    Raises:
        InputError: there are no words.
        ConfigError: `vocab_size` is too small for the single characters.

    Example:
        >>> train_vocab(Counter({"low": 5, "lower": 3}), vocab_size=20)[-4:]
        ['lo', 'low', '##er', 'lower']
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    if not counts:
        raise InputError(
            "Expected text to learn a vocabulary from; it contains no words. Check "
            "that the files are UTF-8 text and not empty."
        )
    alphabet = _alphabet(counts, limit_alphabet)
    first = _reserved(unused) + _pieces_of_alphabet(counts, alphabet)
    if len(first) > vocab_size:
        raise ConfigError(
            f"vocab_size={vocab_size} leaves no room: special tokens and single "
            f"characters already need {len(first)}. Raise vocab_size or lower "
            "limit_alphabet."
        )
    tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIAL_TOKENS["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        # The trainer orders single characters differently in each run unless it is
        # given all of them in advance.
        special_tokens=first,
        show_progress=progress,
    )
    tokenizer.train_from_iterator(_repeat(counts, alphabet), trainer=trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.__getitem__)


def _reserved(unused: int) -> list[str]:
    pad, *others = SPECIAL_TOKENS.values()
    return [pad, *(f"[unused{i}]" for i in range(unused)), *others]


def _alphabet(counts: Counter[str], limit: int) -> frozenset[str]:
    chars: Counter[str] = Counter()
    for word, count in counts.items():
        for char in word:
            chars[char] += count
    kept = sorted(chars, key=lambda char: (-chars[char], char))[:limit]
    return frozenset(kept)


def _pieces_of_alphabet(counts: Counter[str], alphabet: frozenset[str]) -> list[str]:
    """Lists every single character as a word and, with ##, inside words."""
    inside = {char for word in counts for char in word[1:]} & alphabet
    return sorted(alphabet) + sorted("##" + char for char in inside)


def _repeat(
    counts: Counter[str], alphabet: frozenset[str], batch: int = 1000
) -> Iterator[str]:
    """Yields each word as often as it was counted: the trainer takes only text."""
    for word in sorted(counts):
        if alphabet.issuperset(word):
            whole, rest = divmod(counts[word], batch)
            yield from (" ".join([word] * n) for n in [batch] * whole + [rest] if n)
