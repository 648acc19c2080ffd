"""Predictions of a masked language model for masked words."""

import random
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_bert.errors import InputError


class Guess(NamedTuple):
    """A token for a masked position, and its probability."""

    token: str
    probability: float


class HiddenWord(NamedTuple):
    """A sentence with one masked word.

    Attributes:
        text: the sentence, with the mask token instead of the word.
        truth: the original token.
    """

    text: str
    truth: str


def fill_mask(
    model: Any, tokenizer: Any, text: str, top_k: int = 5
) -> list[list[Guess]]:
    """Predicts the masked tokens of a text.

    Args:
        model: has a head that predicts masked tokens.
        tokenizer: the model's tokenizer.
        text: text with the mask token, `[MASK]`, at least once.
        top_k: the number of guesses per mask.

    Returns:
        For every mask its guesses, the most probable first.

    Raises:
        InputError: the text has no mask, or is too long; or the model is not a masked
            language model.

    Example:
        >>> fill_mask(model, tokenizer, "Paris is in [MASK].")  # doctest: +SKIP
        [[Guess(token='france', probability=0.9), …]]

    Source: Devlin et al. 2018 (arXiv:1810.04805), section 3.1.
    """
    check_predicts_tokens(model)
    ids = np.array([_masked_ids(tokenizer, text)], "int32")
    (positions,) = np.where(ids[0] == tokenizer.mask_token_id)
    inputs = {"input_ids": ids, "masked_lm_positions": positions[None].astype("int32")}
    return [_best(row, tokenizer, top_k) for row in _probabilities(model, inputs)]


def check_predicts_tokens(model: Any) -> None:
    """Raises InputError if a model does not predict masked tokens."""
    if "masked_lm_positions" not in model.input_names:
        raise InputError(
            "Expected a model that predicts masked tokens, such as "
            f"{model.family.class_name('masked_lm')}. Received: "
            f"{type(model).__name__}."
        )


def logits_of(model: Any, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the logits of tokens, float32 `(rows, predictions, vocab)`.

    Args:
        model: that predicts masked tokens.
        inputs: of the model, with `masked_lm_positions`.
    """
    from keras import ops

    outputs = model(inputs)
    if isinstance(outputs, dict):
        outputs = outputs.get("prediction_logits", outputs.get("logits"))
    return ops.convert_to_numpy(outputs)


def _masked_ids(tokenizer: Any, text: str) -> list[int]:
    # The tokenizer does not recognize special tokens in text, so masks are added here.
    mask = tokenizer.convert_ids_to_tokens(tokenizer.mask_token_id)
    first, *rest = text.split(mask)
    if not rest:
        raise InputError(f"Expected {mask} in the text. Received: {text[:80]!r}.")
    ids = [tokenizer.cls_token_id, *tokenizer.text_to_ids(first)]
    for piece in rest:
        ids += [tokenizer.mask_token_id, *tokenizer.text_to_ids(piece)]
    return [*ids, tokenizer.sep_token_id]


def _probabilities(model: Any, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    logits = logits_of(model, inputs)[0]  # (masks, vocab)
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    return exponents / exponents.sum(-1, keepdims=True)


def _best(probabilities: np.ndarray, tokenizer: Any, top_k: int) -> list[Guess]:
    # Published models have more rows than their vocabularies.
    known = probabilities[: len(tokenizer)]
    best = np.argsort(-known, kind="stable")[:top_k]
    tokens = tokenizer.convert_ids_to_tokens(best)
    return [
        Guess(t, float(probabilities[i])) for t, i in zip(tokens, best, strict=True)
    ]


def hide_words(
    sentences: Iterable[str],
    tokenizer: Any,
    seed: int,
    *,
    count: int = 8,
    min_words: int = 8,
    max_words: int = 24,
) -> list[HiddenWord]:
    """Masks one word in each of some sentences, as examples for `fill_mask`.

    Only words of at least four letters that are a single token are masked.

    Args:
        sentences: the sentences to choose from.
        tokenizer: the model's tokenizer.
        seed: for choosing sentences and words.
        count: the most sentences to return.
        min_words: length of the shortest sentence to choose.
        max_words: length of the longest.

    Example:
        >>> hide_words(["Returns the size of it."], tokenizer, 0,
        ...            min_words=3)  # doctest: +SKIP
        [HiddenWord(text='Returns the [MASK] of it.', truth='size')]
    """
    rng = random.Random(seed)
    fitting = [s for s in sentences if min_words <= len(s.split()) <= max_words]
    rng.shuffle(fitting)
    hidden = []
    for sentence in fitting:
        if len(hidden) == count:
            break
        words = [m for m in _WORD.finditer(sentence) if _is_token(m[0], tokenizer)]
        if words:
            hidden.append(_hide(sentence, rng.choice(words), tokenizer))
    return hidden


# A separate word: not a part of a dotted name or of one with underscores.
_WORD = re.compile(r"(?<![\w.])[A-Za-z]{4,}(?![\w(]|\.\w)")


def _is_token(word: str, tokenizer: Any) -> bool:
    ids = tokenizer.text_to_ids(word)
    return len(ids) == 1 and ids[0] != tokenizer.unk_token_id


def _hide(sentence: str, word: re.Match, tokenizer: Any) -> HiddenWord:
    mask = tokenizer.convert_ids_to_tokens(tokenizer.mask_token_id)
    truth = tokenizer.convert_ids_to_tokens(tokenizer.text_to_ids(word[0])[0])
    return HiddenWord(sentence[: word.start()] + mask + sentence[word.end() :], truth)
