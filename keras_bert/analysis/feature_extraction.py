"""Hidden states of texts, in the format of Google's `extract_features.py`."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_bert.errors import InputError, check_counts

LAST_FOUR = (-1, -2, -3, -4)


def extract_features(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    text_pairs: Sequence[str] | None = None,
    *,
    layers: Sequence[int] | None = None,
    max_length: int | None = None,
    batch_size: int = 32,
) -> Iterator[dict[str, Any]]:
    """Yields the hidden states of the tokens of texts.

    Args:
        model: any model with an encoder.
        tokenizer: the model's tokenizer.
        texts: the texts.
        text_pairs: their second texts, if they have any.
        layers: which states: 0 is the output of the embeddings, 1 that of the first
            layer, -1 that of the last. None takes the last four, or all if there are
            fewer.
        max_length: the most tokens per row; None takes the model's limit.
        batch_size: texts per call of the model.

    Yields:
        Per text `{"linex_index": …, "features": [{"token": …, "layers": [{"index":
        …, "values": [hidden floats]}]}]}`, without padding.

    Raises:
        InputError: there is no such layer.
        ConfigError: the batch size is below 1.

    Source: `extract_features.py` of google-research/bert, which also spells
    `linex_index` this way. Layers counted from the end have the same numbers there.
    """
    check_counts(batch_size=batch_size)
    depth = len(model.config.block_numbers)
    layers = LAST_FOUR[:depth] if layers is None else layers
    outside = [layer for layer in layers if not -depth - 1 <= layer <= depth]
    if outside or not layers:
        raise InputError(
            f"Expected layers from 0 to {depth}, or from -{depth + 1} to -1. "
            f"Received: {list(layers)}."
        )
    for start in range(0, len(texts), batch_size):
        rows = slice(start, start + batch_size)
        batch = tokenizer.encode_batch(
            list(texts[rows]),
            text_pairs=None if text_pairs is None else list(text_pairs[rows]),
            max_length=max_length or model.max_text_length(tokenizer),
        )
        states = hidden_states(model, batch, layers)
        for i, ids in enumerate(batch["input_ids"]):
            length = int(batch["attention_mask"][i].sum())
            tokens = tokenizer.convert_ids_to_tokens(ids[:length])
            yield {
                "linex_index": start + i,
                "features": token_features(tokens, states[:, i], layers),
            }


def hidden_states(
    model: Any, batch: dict[str, np.ndarray], layers: Sequence[int]
) -> np.ndarray:
    """Returns the states of the chosen layers, `(layers, batch, seq, hidden)`."""
    from keras import ops

    states = model.encoder(model.complete(batch))["hidden_states"]
    chosen = [ops.cast(states[layer], "float32") for layer in layers]
    return np.stack([ops.convert_to_numpy(state) for state in chosen])


def token_features(
    tokens: Sequence[str], states: np.ndarray, layers: Sequence[int]
) -> list[dict[str, Any]]:
    """Returns the states of each token as Google's script writes them.

    Args:
        tokens: those of a text, without padding.
        states: `(layers, seq, hidden)`, float32.
        layers: their numbers.
    """
    values = states[:, : len(tokens)].astype("float64").tolist()
    return [
        {
            "token": token,
            "layers": [
                # Google's own precision.
                {"index": layer, "values": [round(x, 6) for x in values[n][position]]}
                for n, layer in enumerate(layers)
            ],
        }
        for position, token in enumerate(tokens)
    ]
