"""Tokens for masks: `pipeline("fill-mask")`."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_bert.errors import InputError, check_counts
from keras_bert.transformers.pipelines import base
from keras_bert.transformers.pipelines.computation import softmax

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options(base.Options):
    """The options of `FillMaskPipeline`."""

    top_k: int = 5
    targets: Sequence[int] | None = None

    def __post_init__(self) -> None:
        check_counts(top_k=self.top_k)


class FillMaskPipeline(base.Pipeline):
    """The likeliest tokens in the places of `[MASK]`.

    Call arguments:
        inputs: texts with the tokenizer's mask token.
        top_k: the number of tokens for a mask.
        targets: a word or words to choose from; of those that are no token the first
            token is taken.
        tokenizer_kwargs: a dict of options of the tokenizer's call.

    Returns:
        Of each text a list of `{"score", "token", "token_str", "sequence"}`, best
        first; of a text with several masks such a list for each, all others left as
        they are. A list of one text has the result of that text.
    """

    name = "fill-mask"
    kinds = ("masked_lm", "pretraining")
    options_type = Options
    tokenizer_dict = "tokenizer_kwargs"
    takes_tokenizer_options = True

    def __call__(self, inputs: Any, **options: Any) -> Any:
        results = super().__call__(inputs, **options)
        one = isinstance(inputs, list) and len(inputs) == 1
        return results[0] if one else results

    predict = transform = __call__

    def read(self, given: Mapping[str, Any]) -> Options:
        targets = given.get("targets")
        if targets is not None:
            given = {**given, "targets": self._target_ids(targets)}
        return super().read(given)

    def _target_ids(self, targets: str | Iterable[str]) -> list[int]:
        texts = [targets] if isinstance(targets, str | int) else list(targets)
        vocab = self.tokenizer.get_vocab()
        ids = {vocab[text] if text in vocab else self._first_id(text) for text in texts}
        found = sorted(ids - {None})
        if not found:
            raise InputError(
                f"Expected targets with at least one token. Received: {targets!r:.60}."
            )
        return found

    def _first_id(self, text: str) -> int | None:
        if not isinstance(text, str):
            raise InputError(f"Expected targets as strings. {base.received(text)}")
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        taken = self.tokenizer.convert_ids_to_tokens(ids[:1])
        log.warning(
            "The target %r is no token of the vocabulary; taken for it: %s.",
            text,
            taken[0] if taken else "nothing",
        )
        return ids[0] if ids else None

    def prepare(self, item: Any, options: Options) -> list[base.Row]:
        (row,) = super().prepare(item, options)
        mask = self.tokenizer.mask_token_id
        ids = row.inputs["input_ids"]
        places = [place for place, token in enumerate(ids) if token == mask]
        if not places:
            raise InputError(
                f"Expected {self.tokenizer.mask_token} in the text, after truncation "
                f"too. {base.received(item)}"
            )
        return [base.Row({**row.inputs, "masked_lm_positions": places}, row.encoding)]

    def answer(
        self,
        item: Any,
        rows: Sequence[base.Row],
        outputs: Sequence[dict[str, np.ndarray]],
        options: Options,
    ) -> Any:
        inputs = rows[0].inputs
        places, ids = inputs["masked_lm_positions"], inputs["input_ids"]
        probabilities = softmax(next(iter(outputs[0].values())))
        several = len(places) > 1
        found = [
            [
                self._filled(ids, place, token, score, several)
                for token, score in _best(scores, options)
            ]
            for place, scores in zip(places, probabilities, strict=True)
        ]
        return found if several else found[0]

    def _filled(
        self, ids: Sequence[int], place: int, token: int, score: float, several: bool
    ) -> dict[str, Any]:
        filled = [*ids[:place], token, *ids[place + 1 :]]
        kept = [i for i in filled if i != self.tokenizer.pad_token_id]
        decode = self.tokenizer.decode
        return {
            "score": score,
            "token": token,
            "token_str": decode([token]),
            # The other masks of a text are special tokens too.
            "sequence": decode(kept, skip_special_tokens=not several),
        }


def _best(scores: np.ndarray, options: Options) -> list[tuple[int, float]]:
    """Returns the likeliest tokens and their probabilities."""
    tokens = np.arange(len(scores)) if options.targets is None else options.targets
    tokens = np.asarray(tokens)
    order = np.argsort(-scores[tokens], kind="stable")[: options.top_k]
    best = tokens[order]
    return list(zip(best.tolist(), scores[best].tolist(), strict=True))
