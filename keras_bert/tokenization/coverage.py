"""How well a vocabulary fits a text."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from keras_bert.tokenization.tokenizer import BertTokenizer

_EXAMPLES = 10


class Coverage(NamedTuple):
    """How a tokenizer splits the words of a text.

    Attributes:
        words: the number of words.
        whole: how many of them are one known token.
        unknown: how many become [UNK].
        tokens: the number of tokens.
        frequent_unknown: the most frequent unknown words, at most ten.
    """

    words: int
    whole: int
    unknown: int
    tokens: int
    frequent_unknown: tuple[str, ...]

    def __str__(self) -> str:
        words = max(self.words, 1)
        return (
            f"{self.words:,} words: {self.whole / words:.2%} one token, "
            f"{self.unknown / words:.4%} unknown, {self.tokens / words:.3f} tokens "
            "per word"
        )


def coverage(counts: Mapping[str, int], tokenizer: BertTokenizer) -> Coverage:
    """Tokenizes the words of a text, and counts the results.

    Args:
        counts: word to count, from `keras_bert.tokenization.vocab.count_words` with
            the tokenizer's rules.
        tokenizer: the tokenizer.

    Example:
        >>> special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        >>> tokenizer = BertTokenizer([*special, "low", "##er"])
        >>> print(coverage({"low": 2, "lower": 1, "slow": 1}, tokenizer))
        4 words: 50.00% one token, 25.0000% unknown, 1.250 tokens per word
    """
    words = list(counts)
    times = np.fromiter(counts.values(), np.int64, len(words))
    ids, splits = tokenizer.texts_to_ids(words)
    sizes = np.diff(splits)
    # A word with an unknown part becomes a single [UNK].
    unknown = (sizes == 1) & (ids[splits[:-1]] == tokenizer.unk_token_id)
    missed = [words[i] for i in np.flatnonzero(unknown)]
    return Coverage(
        words=int(times.sum()),
        whole=int(times[(sizes == 1) & ~unknown].sum()),
        unknown=int(times[unknown].sum()),
        tokens=int((times * sizes).sum()),
        frequent_unknown=tuple(
            sorted(missed, key=lambda w: (-counts[w], w))[:_EXAMPLES]
        ),
    )
