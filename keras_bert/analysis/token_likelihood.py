"""Likelihoods of a text's tokens under a masked language model."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_bert.analysis.fill_mask import check_predicts_tokens, logits_of
from keras_bert.errors import InputError, check_counts


def token_log_likelihoods(
    model: Any, tokenizer: Any, texts: Sequence[str], *, batch_size: int = 32
) -> list[np.ndarray]:
    """Returns how likely each token is, given all others of its text.

    Every token is masked in turn. Their sum is the pseudo-log-likelihood of a text, and
    `exp` of minus their mean the pseudo-perplexity.

    Args:
        model: has a head that predicts masked tokens.
        tokenizer: the model's tokenizer.
        texts: no longer than the model's rows.
        batch_size: rows per batch, each with one masked token.

    Returns:
        For each text the natural logarithms, float64 `(tokens,)`, without special
        tokens.

    Raises:
        InputError: a text is too long, or the model is no masked language model.

    Example:
        >>> token_log_likelihoods(model, tokenizer, ["A cat."])  # doctest: +SKIP
        [array([-2.1, -5.0, -0.3])]

    Source: Salazar et al. 2020 (arXiv:1910.14659), section 2.
    """
    check_counts(batch_size=batch_size)
    check_predicts_tokens(model)
    rows = [_row(tokenizer, text, model, n) for n, text in enumerate(texts, 1)]
    found = [np.zeros(len(row) - 2) for row in rows]
    places = [(n, at) for n, row in enumerate(rows) for at in range(1, len(row) - 1)]
    for batch in _batches(places, batch_size):
        numbers, at = zip(*batch, strict=True)
        values = _of_masked(model, tokenizer, [rows[n] for n in numbers], np.array(at))
        for n, place, value in zip(numbers, at, values, strict=True):
            found[n][place - 1] = value
    return found


def _row(tokenizer: Any, text: str, model: Any, number: int) -> np.ndarray:
    ids = tokenizer.text_to_ids(text)
    row = np.array([tokenizer.cls_token_id, *ids, tokenizer.sep_token_id], np.int32)
    if len(row) > (longest := model.config.max_length):
        raise InputError(
            f"Expected texts of at most {longest} tokens, special ones included. "
            f"Received: {len(row)} in text {number}, {text[:40]!r}. Split it."
        )
    return row


def _batches(places: list, size: int) -> Iterator[list]:
    return (places[start : start + size] for start in range(0, len(places), size))


def _of_masked(
    model: Any, tokenizer: Any, rows: Sequence[np.ndarray], places: np.ndarray
) -> np.ndarray:
    """Returns the log-likelihood of the token at a place of each row, `(rows,)`."""
    lengths = np.array([len(row) for row in rows])
    real = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(real.shape, tokenizer.pad_token_id, np.int32)
    ids[real] = np.concatenate(rows)
    all_rows = np.arange(len(rows))
    truth = ids[all_rows, places]
    ids[all_rows, places] = tokenizer.mask_token_id
    features = {
        "input_ids": ids,
        "attention_mask": real.astype(np.int32),
        "masked_lm_positions": places[:, None].astype(np.int32),
    }
    return log_likelihoods(logits_of(model, features), truth[:, None])[:, 0]


def log_likelihoods(logits: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Returns the log-softmax of logits `(…, vocab)` at ids `(…)`."""
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    chosen = np.take_along_axis(shifted, ids[..., None].astype(np.int64), -1)[..., 0]
    return chosen - np.log(np.exp(shifted).sum(-1))
