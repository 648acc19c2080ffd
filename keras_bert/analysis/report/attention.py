"""The attention of texts, to look into: any head of any layer, the strongest first."""

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from unicodedata import bidirectional

import numpy as np

from keras_bert.analysis.attention import attention_maps

MOST_BYTES = 1_000_000  # of a text's maps, one for each probability
MOST_TOKENS = 64  # that have room in a picture
STRENGTH = (
    "Strength of a head: the largest share that a token gives to another one, mean "
    "over the tokens of the text, without those that frame it."
)


@dataclass(frozen=True)
class AttentionView:
    """A heat map of one head at a time, chosen by the reader.

    Attributes:
        tokens: of the text.
        probabilities: `(layers, heads, seq, seq)`: `[..., i, j]` is how much token i
            attends to token j.
        special: for each token whether it is one that frames the text.
        note: a sentence below.
    """

    tokens: Sequence[str]
    probabilities: np.ndarray
    special: Sequence[bool]
    note: str = ""

    @classmethod
    def of(
        cls,
        model: Any,
        tokenizer: Any,
        text: str,
        text_pair: str | None = None,
        *,
        max_length: int | None = None,
    ) -> "AttentionView":
        """Computes the attention of a text, or of its beginning if it is long.

        Args:
            model: any with an encoder.
            tokenizer: the model's.
            text: the text.
            text_pair: a second text.
            max_length: the most tokens; None takes as many as a picture has room for.
        """
        config = model.config
        heads = len(config.block_numbers) * config.num_attention_heads
        room = max_length or min(MOST_TOKENS, math.isqrt(MOST_BYTES // heads))
        room = min(room, model.max_text_length(tokenizer))
        tokens, maps = attention_maps(
            model, tokenizer, text, text_pair, max_length=room
        )
        ids = tokenizer.convert_tokens_to_ids(tokens)
        framing = {tokenizer.cls_token_id, tokenizer.sep_token_id}
        special = [i in framing for i in ids]
        note = f"The first {room} tokens." if len(tokens) == room else ""
        return cls(tokens, maps, special, note)

    def html(self) -> str:
        # In a script element only "<" could end it, or begin a comment.
        data = json.dumps(self._data()).replace("<", "\\u003c")
        note = escape(f"{STRENGTH} {self.note}")
        return (
            '<div class="attention"><script type="application/json">'
            f"{data}</script><noscript>Shown by a script, which is off.</noscript>"
            f'</div><p class="note">{note}</p>'
        )

    def strengths(self) -> np.ndarray:
        """Returns how strongly each head looks at certain words, `(layers, heads)`.

        The mean over the text's tokens of the largest probability that one gives to
        another token of the text. Those that frame it are left out, since heads
        that have found nothing attend to them.

        Source: Voita et al. 2019 (arXiv:1905.09418), section 4, confidence of a head;
        Clark et al. 2019 (arXiv:1906.04341), section 3.2.
        """
        inner = np.flatnonzero(~np.asarray(self.special, bool))
        if len(inner) < 2:
            return self.probabilities.max(-1).mean(-1)
        maps = self.probabilities[:, :, inner][:, :, :, inner].copy()
        maps[:, :, range(len(inner)), range(len(inner))] = 0
        return maps.max(-1).mean(-1)

    def _data(self) -> dict[str, Any]:
        """Returns probabilities as bytes, 255 for the largest of each map."""
        maps = np.asarray(self.probabilities, "float32")
        largest = maps.max((2, 3))
        scaled = np.round(maps / np.maximum(largest, 1e-9)[..., None, None] * 255)
        return {
            "tokens": list(self.tokens),
            "direction": self._direction(),
            "layers": maps.shape[0],
            "heads": maps.shape[1],
            "largest": largest.ravel().round(6).tolist(),
            "strength": self.strengths().ravel().round(4).tolist(),
            "maps": base64.b64encode(scaled.astype("uint8").tobytes()).decode("ascii"),
        }

    def _direction(self) -> str:
        """Returns which way the text runs, by its first letter that has one."""
        framing = zip(self.tokens, self.special, strict=True)
        letters = (c for token, special in framing if not special for c in token)
        first = next((d for d in map(bidirectional, letters) if d in _WAYS), "L")
        return _WAYS[first]


_WAYS = {"L": "ltr", "R": "rtl", "AL": "rtl"}
