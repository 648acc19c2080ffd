"""How a tokenizer pads and truncates: `transformers`' arguments, old ones included."""

import logging
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from keras_bert.errors import InputError, choose
from keras_bert.transformers.utils import PaddingStrategy, TruncationStrategy

log = logging.getLogger(__name__)

# A model_max_length above this is none.
LARGE = int(1e20)
_PAD_TO = "pad_to_max_length"
_OLD_TRUNCATION = "truncation_strategy"
# Old spelling: today's.
_RENAMED = {
    "is_pretokenized": "is_split_into_words",
    "return_attention_masks": "return_attention_mask",
    "return_input_lengths": "return_length",
    "return_lengths": "return_length",
    "return_special_tokens_masks": "return_special_tokens_mask",
}


class Options(NamedTuple):
    """The options of a call, in the order in which they may be given.

    Attributes:
        add_special_tokens: add [CLS] and [SEP].
        padding: True or "longest" pads to the longest row, "max_length" to
            `max_length`; False or "do_not_pad" does not.
        truncation: True or "longest_first" removes tokens of the longer text,
            "only_first" and "only_second" of that text; False or "do_not_truncate"
            does not. None does not either, unless `max_length` is given and `padding`
            is not.
        max_length: tokens per row; None is the tokenizer's `model_max_length`.
        stride: tokens that the rows of a text which overflows have in common.
        is_split_into_words: a text is a list of words.
        pad_to_multiple_of: round the width up to a multiple of this.
        padding_side: "right" or "left"; None is that of the tokenizer.
        return_tensors: "np", "tf" or "pt"; None returns lists.
        return_token_type_ids: None follows the tokenizer's `model_input_names`.
        return_attention_mask: likewise.
        return_overflowing_tokens: make rows of what truncation removes.
        return_special_tokens_mask: also return 1 for each special token, else 0.
        return_offsets_mapping: also return begin and end of each token in its text.
        return_length: also return the numbers of tokens.
        verbose: warn.
        split_special_tokens: do not look for special tokens in text; None is the
            tokenizer's.
        add_prefix_space: begin the text with a space, where the algorithm has tokens
            with spaces; None is the tokenizer's.
    """

    add_special_tokens: bool = True
    padding: bool | str = False
    truncation: bool | str | None = None
    max_length: int | None = None
    stride: int = 0
    is_split_into_words: bool = False
    pad_to_multiple_of: int | None = None
    padding_side: str | None = None
    return_tensors: str | None = None
    return_token_type_ids: bool | None = None
    return_attention_mask: bool | None = None
    return_overflowing_tokens: bool = False
    return_special_tokens_mask: bool = False
    return_offsets_mapping: bool = False
    return_length: bool = False
    verbose: bool = True
    split_special_tokens: bool | None = None
    add_prefix_space: bool | None = None

    @classmethod
    def of(cls, *values: Any, **named: Any) -> Self:
        """Returns the options of a call.

        Raises:
            UnknownNameError: there is no such option.
        """
        named = dict(zip(cls._fields, values, strict=False)) | _today(named)
        for name in named:
            choose("option of a tokenizer's call", name, cls._fields)
        return cls(**named)

    def given(self) -> str:
        """Returns the options that are not as by default, for messages."""
        default = Options()
        changed = [k for k in self._fields if getattr(self, k) != getattr(default, k)]
        return ", ".join(f"{k}={getattr(self, k)!r}" for k in changed) or "no options"


def _today(named: dict[str, Any]) -> dict[str, Any]:
    """Returns options without old spellings; each gives a warning."""
    for old, new in _RENAMED.items():
        if old in named:
            _warn(old, new)
            named[new] = named.pop(old)
    truncation = named.pop(_OLD_TRUNCATION, None)
    if truncation is not None and named.get("truncation") is None:
        _warn(_OLD_TRUNCATION, "truncation")
        named["truncation"] = truncation
    if named.pop(_PAD_TO, False) and not named.get("padding"):
        _warn(_PAD_TO, "padding='max_length', truncation=True")
        limited = named.get("max_length") is not None
        named["padding"] = "max_length" if limited else "longest"
        if limited and named.get("truncation") is None:
            named["truncation"] = True  # max_length alone truncates, too
    return named


def _warn(old: str, new: str) -> None:
    message = f"{old} is an old spelling; write {new}."
    warnings.warn(message, FutureWarning, stacklevel=5)


class Lengths(NamedTuple):
    """How long the rows of a batch become.

    Attributes:
        padding: see `Options`.
        truncation: see `Options`.
        max_length: tokens, or None where nothing depends on it.
    """

    padding: PaddingStrategy
    truncation: TruncationStrategy
    max_length: int | None

    @classmethod
    def of(cls, options: Options, model_max_length: int, say: Callable) -> Self:
        """Returns what a call asks for.

        Args:
            options: of the call.
            model_max_length: of the tokenizer.
            say: called with a warning.

        Raises:
            InputError: there is no such strategy, or the numbers contradict each
                other.
        """
        padding, truncation, length = options.padding, options.truncation, None
        if options.max_length is not None:
            length = options.max_length
        if length is not None and padding is False and truncation is None:
            say(
                "max_length without truncation truncates the longer text first; "
                "write truncation=True."
            )
            truncation = True
        found = cls(_padding(padding), _truncation(truncation), length)
        if padding is True and length is not None and not found.truncates:
            say(
                "max_length has no effect with padding=True and no truncation; to pad "
                "to it, write padding='max_length'."
            )
        return found._limited(model_max_length, say)._checked(options)

    @property
    def pads(self) -> bool:
        """Whether rows are padded."""
        return self.padding is not PaddingStrategy.DO_NOT_PAD

    @property
    def truncates(self) -> bool:
        """Whether rows are truncated."""
        return self.truncation is not TruncationStrategy.DO_NOT_TRUNCATE

    def _limited(self, model_max_length: int, say: Callable) -> Self:
        """Takes the length of the model where none is given."""
        filled = self.padding is PaddingStrategy.MAX_LENGTH
        if self.max_length is not None or not (filled or self.truncates):
            return self
        if model_max_length <= LARGE:
            return self._replace(max_length=model_max_length)
        say(
            "Neither max_length is given nor does the tokenizer have a "
            "model_max_length: nothing is truncated, or padded to it."
        )
        padding = PaddingStrategy.DO_NOT_PAD if filled else self.padding
        return self._replace(
            padding=padding, truncation=TruncationStrategy.DO_NOT_TRUNCATE
        )

    def _checked(self, options: Options) -> Self:
        multiple = options.pad_to_multiple_of
        both = self.pads and self.truncates and multiple and self.max_length
        if both and self.max_length % multiple:
            raise InputError(
                "Expected a max_length that is a multiple of pad_to_multiple_of, since "
                f"rows are truncated and padded. Received: {self.max_length} and "
                f"{multiple}."
            )
        return self


def _padding(value: Any) -> PaddingStrategy:
    named = {True: PaddingStrategy.LONGEST, False: PaddingStrategy.DO_NOT_PAD}
    return named[value] if isinstance(value, bool) else PaddingStrategy(value)


def _truncation(value: Any) -> TruncationStrategy:
    named = {
        True: TruncationStrategy.LONGEST_FIRST,
        False: TruncationStrategy.DO_NOT_TRUNCATE,
        None: TruncationStrategy.DO_NOT_TRUNCATE,
    }
    plain = value is None or isinstance(value, bool)
    return named[value] if plain else TruncationStrategy(value)
