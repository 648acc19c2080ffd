"""The masked language model as a task: fills masks, scores texts, is pretrained on."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from keras_bert.analysis.fill_mask import Guess, fill_mask, logits_of
from keras_bert.analysis.token_likelihood import (
    log_likelihoods,
    token_log_likelihoods,
)
from keras_bert.errors import InputError, check_counts, choose
from keras_bert.pretraining.hashed_random import mix
from keras_bert.pretraining.masking import MaskingSettings, Vocabulary, mask_rows
from keras_bert.pretraining.numpy_reading import permuted
from keras_bert.tasks.tables import Column, Table
from keras_bert.tasks.task import MEMORY, Task, is_file

METRICS = ("loss", "perplexity", "accuracy", "pseudo_perplexity")
USUAL = METRICS[:3]


class MaskedLanguageModel(Task):
    """Predicts masked tokens.

    Data is a file with one text per line, or a table with a column of texts; or a list
    of strings. Texts that are too long for a row are continued in the next.

    Example:
        >>> task = MaskedLanguageModel.from_pretrained("ckpt/")  # doctest: +SKIP
        >>> task.fill(["Paris is in [MASK]."], top_k=1)  # doctest: +SKIP
        [[[Guess(token='france', probability=0.9)]]]
        >>> task.fit("domain.txt", epochs=3)  # doctest: +SKIP
    """

    name = "mlm"
    head = "masked_lm"
    reading = ("text", "format", "header", "delimiter", "encoding")

    def rows(
        self,
        source: Any,
        labels: Any = None,
        *,
        labeled: bool = True,
        text: Column = "text",
        **options: Any,
    ) -> list[str | None]:
        if isinstance(source, Mapping) or hasattr(source, "columns"):
            raise InputError(
                f"Expected texts. Received: a {type(source).__name__}. Give one column."
            )
        if not is_file(source):
            return [source] if isinstance(source, str) else list(source)
        found = Table(source, **options).rows({"text": text})
        return [row.cells.get("text") for row in found]

    def filled(
        self, rows: list[str | None], name: str, *, labeled: bool = True
    ) -> list[str]:
        found = [text for text in rows if text is not None]
        if not found:
            raise InputError(f"Expected at least one text in {name}; it has none.")
        for number, text in enumerate(found, 1):
            if not isinstance(text, str):
                raise InputError(
                    f"Expected strings in {name}. Received: {text!r} as text {number}."
                )
        return found

    def describe(self, items: list[str]) -> list[str]:
        return [f"{len(items):,} texts"]

    def encode(
        self, items: list[str], *, labeled: bool = True, name: str = MEMORY
    ) -> tuple[dict[str, np.ndarray], None]:
        """Returns rows of tokens, none of them masked yet; see `MaskedBatches`."""
        tokenizer, room = self.tokenizer, self.row_length - 2
        ids, splits = tokenizer.texts_to_ids(items)
        rows = [
            [tokenizer.cls_token_id, *ids[at : min(at + room, end)]]
            for begin, end in pairwise(splits.tolist())
            for at in range(begin, end, room)
        ]
        if not rows:
            raise InputError(f"Expected texts with tokens in {name}. Received: none.")
        lengths = np.array([len(row) + 1 for row in rows])
        real = np.arange(lengths.max()) < lengths[:, None]
        padded = np.full(real.shape, tokenizer.pad_token_id, np.int32)
        for row, tokens in zip(padded, rows, strict=True):
            row[: len(tokens) + 1] = [*tokens, tokenizer.sep_token_id]
        return {"input_ids": padded, "attention_mask": real.astype(np.int32)}, None

    def batches(
        self,
        model: Any,
        rows: tuple,
        size: int,
        *,
        shuffle_seed: int | None = None,
        repeat: bool = False,
    ) -> "MaskedBatches":
        model.check(rows[0])
        seed = self.seed if shuffle_seed is None else shuffle_seed
        return MaskedBatches(
            rows[0], self.tokenizer, size, seed=seed, shuffle=shuffle_seed is not None
        )

    def outputs(self, items: list[str], *, batch_size: int = 32) -> np.ndarray:
        """Returns how the model predicts 15 % of the tokens, drawn by the task's seed.

        Args:
            items: texts.
            batch_size: rows per batch.

        Returns:
            float64 `(masked tokens, 2)`: the log-likelihood of each, and 1 where it is
            the most likely one.
        """
        batches = self.batches(self.model, self.encode(items), batch_size)
        parts = []
        for step in range(1, len(batches) + 1):
            features, ids, weights = batches(step)
            logits = logits_of(self.model, features)
            found = [log_likelihoods(logits, ids), logits.argmax(-1) == ids]
            parts.append(np.stack(found, -1)[weights > 0])
        return np.concatenate(parts)

    def score(
        self,
        items: list[str],
        outputs: np.ndarray,
        metrics: Sequence[str] | None = None,
    ) -> dict[str, float]:
        """Returns loss, perplexity and accuracy of masked tokens.

        Args:
            items: texts.
            outputs: of the model, see `outputs`.
            metrics: names; "pseudo_perplexity" masks every token in turn, which takes
                as many rows as there are tokens.
        """
        loss = -float(outputs[:, 0].mean())
        values = {
            "loss": lambda: loss,
            "perplexity": lambda: float(np.exp(loss)),
            "accuracy": lambda: float(outputs[:, 1].mean()),
            "pseudo_perplexity": lambda: self.pseudo_perplexity(items),
        }
        chosen = [choose("metric", name, METRICS) for name in metrics or USUAL]
        return {name: values[name]() for name in chosen}

    def fill(self, texts: Sequence[str], top_k: int = 5) -> list[list[list[Guess]]]:
        """Returns the likeliest tokens for every mask of every text.

        Args:
            texts: with the tokenizer's mask token at least once.
            top_k: guesses per mask.

        Raises:
            InputError: a text has no mask, or is too long.
        """
        check_counts(top_k=top_k)
        return [fill_mask(self.model, self.tokenizer, text, top_k) for text in texts]

    def predict(  # type: ignore[override]  # of texts with masks
        self, texts: Sequence[str], *, top_k: int = 5, **options: Any
    ) -> list[dict[str, Any]]:
        """Returns every text with its masks filled, and the guesses for each mask.

        Args:
            texts: with masks.
            top_k: guesses per mask.
        """
        mask = self.tokenizer.convert_ids_to_tokens(self.tokenizer.mask_token_id)
        return [
            {
                "text": _filled(text, mask, [guesses[0].token for guesses in found]),
                "masks": [[guess._asdict() for guess in guesses] for guesses in found],
            }
            for text, found in zip(texts, self.fill(texts, top_k), strict=True)
        ]

    def pseudo_perplexity(self, texts: Sequence[str], *, batch_size: int = 32) -> float:
        """Returns the perplexity of tokens, each given all others of its text.

        Args:
            texts: no longer than the model's rows.
            batch_size: rows per batch, each with one masked token.

        Raises:
            InputError: a text is too long, or there are no tokens.

        Source: Salazar et al. 2020 (arXiv:1910.14659), section 2.3.
        """
        options = {"batch_size": batch_size}
        texts = [texts] if isinstance(texts, str) else texts
        found = token_log_likelihoods(self.model, self.tokenizer, texts, **options)
        if not sum(map(len, found)):
            raise InputError("Expected texts with tokens. Received: none.")
        return float(np.exp(-np.concatenate(found).mean()))


def _filled(text: str, mask: str, tokens: Sequence[str]) -> str:
    """Returns a text with tokens in the places of masks.

    Example:
        >>> _filled("an [MASK] of [MASK][MASK]", "[MASK]", ["act", "god", "##s"])
        'an act of gods'
    """
    for token in tokens:
        text = text.replace(mask, token.removeprefix("##"), 1)
    return text


class MaskedBatches:
    """Batches of rows in which other tokens are masked in every pass.

    See `keras_bert.training.batches`: a batch is a function of seed and step.

    Args:
        features: `input_ids` and `attention_mask`, int32 `(rows, seq)`.
        tokenizer: of the ids.
        batch_size: rows per batch, over all devices.
        seed: for shuffling and masking.
        shuffle: each pass has its own order and masks. If False there is one pass,
            whose last batch is filled with rows of weight zero.
    """

    def __init__(
        self,
        features: Mapping[str, np.ndarray],
        tokenizer: Any,
        batch_size: int,
        *,
        seed: int,
        shuffle: bool,
    ) -> None:
        check_counts(batch_size=batch_size)
        self.features, self.batch_size = dict(features), batch_size
        self.seed, self.shuffle = seed, shuffle
        self.vocabulary = Vocabulary.of(tokenizer)
        self.size, seq = self.features["input_ids"].shape
        share = MaskingSettings().probability
        self.masking = MaskingSettings(max_predictions=max(1, round(share * seq)))

    def __len__(self) -> int:
        """Returns the number of batches per pass."""
        return -(-self.size // self.batch_size)

    def __call__(self, step: int, rows: slice = slice(None)) -> tuple:
        """Returns features, the masked tokens and their weights, `(rows, predictions)`.

        Args:
            step: number of the batch, from 1.
            rows: which of its rows.
        """
        start = (step - 1) * self.batch_size
        numbers = np.arange(start, start + self.batch_size)[rows]
        passes, places = np.divmod(numbers, self.size)
        if self.shuffle:
            places = permuted(places, self.size, mix(self.seed, passes))
        real = self.shuffle | (passes == 0)
        ids, mask = (
            self.features[name][places] for name in ("input_ids", "attention_mask")
        )
        continues = self.vocabulary.continues[ids]
        keys = mix(self.seed, passes, places)
        masked = mask_rows(
            ids, mask.sum(1), continues, keys, self.vocabulary, self.masking
        )
        features = {
            "input_ids": masked.input_ids,
            "attention_mask": mask,
            "masked_lm_positions": masked.positions,
        }
        return features, masked.ids, masked.weights * real[:, None]
