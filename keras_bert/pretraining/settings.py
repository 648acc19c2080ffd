"""How pretraining records are made."""

import math
from dataclasses import InitVar, dataclass
from typing import Any

from keras_bert.errors import ConfigError, choose
from keras_bert.features import NAMINGS
from keras_bert.pretraining.masking import UNITS, MaskingSettings
from keras_bert.pretraining.pairs import OBJECTIVES, SentenceObjective
from keras_bert.pretraining.words import WORDS

FORMS = ("static", "compact")


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """How records are made; names and defaults are Google's where it has them.

    Args:
        max_seq_length: tokens per row.
        max_predictions_per_seq: the most masked positions per row.
        masked_lm_prob: the fraction of a row's tokens to mask.
        short_seq_prob: probability that a row is made shorter than it could be.
        dupe_factor: passes over the corpus, each with its own pairs and masks.
        random_seed: seed for all random draws.
        objective: "nsp" (is the second text the next one), "sop" (are the two in
            order) or "none" (full sentences, masked tokens only).
        masking: what is masked together: "token", "word", "ngram" or "span".
        max_ngram_size: the most words of an n-gram.
        words: where words of Chinese text come from: "tokenizer", every ideograph is
            one; "jieba", which segments the text; "spaces", the text has them between
            words.
        user_dict: a file of words for jieba to know, `word [frequency [tag]]` a line.
        pieces_per_row: above 1, up to this many short texts share a row.
        form: "static" records are masked when they are made; "compact" ones, a third
            of the size, each time they are read.
        naming: the records' field names, "google" or "model_garden".

    Raises:
        ConfigError: a value is out of range, or two contradict each other.
        UnknownNameError: a name is unknown.
    """

    max_seq_length: int = 128
    max_predictions_per_seq: int = 20
    masked_lm_prob: float = 0.15
    short_seq_prob: float = 0.1
    dupe_factor: int = 10
    random_seed: int = 12345
    objective: str = "nsp"
    masking: str = "token"
    max_ngram_size: int = 3
    words: str = "tokenizer"
    user_dict: str = ""
    pieces_per_row: int = 1
    form: str = "static"
    naming: str = "google"

    chinese_whole_words: InitVar[bool] = False  # the former name of words="jieba"

    def __post_init__(self, chinese_whole_words: bool) -> None:
        if chinese_whole_words and self.words == "spaces":
            raise ConfigError(
                'Expected words="jieba", or chinese_whole_words=True, '
                "which are the same. Received: chinese_whole_words=True with "
                'words="spaces".'
            )
        if chinese_whole_words:
            object.__setattr__(self, "words", "jieba")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(
                    f"Expected {name} from {low} to {high}, received {value}."
                )
        for name, known in _NAMES.items():
            choose(name, getattr(self, name), known)
        if self.words != "tokenizer" and self.masking == "token":
            raise ConfigError(
                f"words={self.words!r} has no effect when single tokens are masked; "
                'choose masking="word", "ngram" or "span".'
            )
        if self.user_dict and self.words != "jieba":
            raise ConfigError(
                f'Expected words="jieba" (--words jieba) with user_dict, received '
                f"{self.words!r}."
            )

    @property
    def masking_settings(self) -> MaskingSettings:
        """The settings of masking."""
        return MaskingSettings(
            max_predictions=self.max_predictions_per_seq,
            probability=self.masked_lm_prob,
            unit=self.masking,
            max_ngram=self.max_ngram_size,
        )

    @property
    def texts(self) -> SentenceObjective:
        """How rows are made of documents."""
        return OBJECTIVES[self.objective]

    @property
    def room(self) -> int:
        """Tokens per row without the special ones."""
        return self.max_seq_length - self.texts.special_tokens


_RANGES: dict[str, tuple[float, float]] = {
    "max_seq_length": (5, math.inf),
    "max_predictions_per_seq": (1, math.inf),
    "masked_lm_prob": (0, 1),
    "short_seq_prob": (0, 1),
    "dupe_factor": (1, math.inf),
    "random_seed": (0, math.inf),
    "max_ngram_size": (1, math.inf),
    "pieces_per_row": (1, math.inf),
}
_NAMES: dict[str, Any] = {
    "objective": OBJECTIVES,
    "masking": UNITS,
    "words": WORDS,
    "form": FORMS,
    "naming": NAMINGS,
}
