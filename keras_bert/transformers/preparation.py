"""Ids to the inputs of a model: special tokens around them, truncated, padded."""

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, ClassVar

from tokenizers import Encoding

from keras_bert.errors import InputError
from keras_bert.tokenization.truncation import longest_first
from keras_bert.transformers.batch_encoding import BatchEncoding
from keras_bert.transformers.lengths import Lengths, Options
from keras_bert.transformers.rows import (
    columns_of,
    pad_row,
    padded_width,
    received,
    rows_of,
    tensor_type,
)
from keras_bert.transformers.special_tokens import NamedTokens
from keras_bert.transformers.utils import TruncationStrategy, to_py_obj

log = logging.getLogger(__name__)

# What a call may return of each row, in order, and the option that asks for it.
COLUMNS: dict[str, tuple[str, Callable[[Encoding], Any]]] = {
    "input_ids": ("", attrgetter("ids")),
    "token_type_ids": ("return_token_type_ids", attrgetter("type_ids")),
    "attention_mask": ("return_attention_mask", attrgetter("attention_mask")),
    "special_tokens_mask": (
        "return_special_tokens_mask",
        attrgetter("special_tokens_mask"),
    ),
    "offset_mapping": ("return_offsets_mapping", attrgetter("offsets")),
    "length": ("return_length", len),
}


class IdPreparation(NamedTokens):
    """What a tokenizer does with ids.

    Attributes:
        model_input_names: what it returns, unless an option says otherwise.
        padding_side: "right" or "left".
        truncation_side: likewise.
        verbose: whether it warns.
    """

    model_input_names: Sequence[str] = ("input_ids", "token_type_ids", "attention_mask")
    padding_side = "right"
    truncation_side = "right"
    pad_token_type_id: ClassVar = 0
    # Between the texts of a pair, and the type of the second one's tokens.
    _separators: ClassVar = 1
    _second_type: ClassVar = 1
    verbose = True
    _said: frozenset[str] = frozenset()

    def _say(self, message: str) -> None:
        """Logs a warning, once for a tokenizer."""
        if self.verbose and message not in self._said:
            self._said |= {message}
            log.warning(message)

    def _lengths(self, options: Options) -> Lengths:
        say = self._say if options.verbose else log.debug
        return Lengths.of(options, self.model_max_length, say)

    def _returned(self, options: Options) -> list[str]:
        """Returns the names of what a call returns, by its options or the model's."""
        asked = {name: getattr(options, k, True) for name, (k, _) in COLUMNS.items()}
        inputs = self.model_input_names
        return [k for k, on in asked.items() if (k in inputs if on is None else on)]

    def _warn_of_length(self, length: int, lengths: Lengths, options: Options) -> None:
        unlimited = lengths.max_length is None and options.verbose
        if unlimited and length > self.model_max_length:
            self._say(
                f"A text has {length} tokens, more than the {self.model_max_length} "
                "positions of the model, which cannot take it. Write truncation=True."
            )

    def _ids_of(self, tokens: Any) -> list[int]:
        """Returns the ids of a text, of tokens, or of ids."""
        if isinstance(tokens, str):
            return self.text_to_ids(tokens)
        if all(isinstance(token, str) for token in tokens):
            return self.convert_tokens_to_ids(tokens)
        if all(isinstance(token, int) for token in tokens):
            return list(tokens)
        raise InputError(f"Expected a text, tokens, or ids. {received(tokens)}")

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Returns how many special tokens are put around one text, or two."""
        return 2 + pair * self._separators

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Returns ids with special tokens around them.

        Args:
            token_ids_0: ids of a text.
            token_ids_1: ids of the second text.
        """
        first = [self.cls_token_id, *token_ids_0, self.sep_token_id]
        if token_ids_1 is None:
            return first
        extra = [self.sep_token_id] * (self._separators - 1)
        return [*first, *extra, *token_ids_1, self.sep_token_id]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Returns the types of the tokens: 1 for the second text, if the model has it.

        Args:
            token_ids_0: ids of a text.
            token_ids_1: ids of the second text.
        """
        first = [0] * (len(token_ids_0) + 2)
        if token_ids_1 is None:
            return first
        second = len(token_ids_1) + self._separators
        return [*first, *[self._second_type] * second]

    def get_special_tokens_mask(
        self,
        token_ids_0: list[int],
        token_ids_1: list[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """Returns 1 for special tokens, 0 for others.

        Args:
            token_ids_0: ids of a text.
            token_ids_1: ids of the second text.
            already_has_special_tokens: the ids have them; otherwise the result is for
                the ids that `build_inputs_with_special_tokens` returns.
        """
        if already_has_special_tokens:
            special = set(self.all_special_ids)
            return [int(i in special) for i in (*token_ids_0, *(token_ids_1 or ()))]
        first = [1, *[0] * len(token_ids_0), 1]
        if token_ids_1 is None:
            return first
        return [*first, *[1] * (self._separators - 1), *[0] * len(token_ids_1), 1]

    def prepare_for_model(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        *,
        prepend_batch_axis: bool = False,
        **options: Any,
    ) -> BatchEncoding:
        """Makes the inputs of a model of ids.

        Args:
            ids: of a text, without special tokens.
            pair_ids: of the second text.
            prepend_batch_axis: make tensors of one row.
            **options: options by name, see `Options`.

        Raises:
            InputError: the ids cannot be made to fit, or the options contradict each
                other.
        """
        chosen = Options.of(**options)
        return self._prepare(list(ids), pair_ids, chosen, prepend_batch_axis)

    def _prepare(
        self,
        ids: list[int],
        pair_ids: list[int] | None,
        options: Options,
        prepend_batch_axis: bool = True,
    ) -> BatchEncoding:
        lengths, added = self._lengths(options), options.add_special_tokens
        total = len(ids) + len(pair_ids or ())
        total += self.num_special_tokens_to_add(pair_ids is not None) if added else 0
        over = total - (lengths.max_length or total) if lengths.truncates else 0
        ids, pair_ids, overflow = self.truncate_sequences(
            ids, pair_ids, over, lengths.truncation, options.stride
        )
        pair = [] if pair_ids is None else pair_ids
        made = {
            "input_ids": self.build_inputs_with_special_tokens(ids, pair_ids)
            if added
            else ids + pair,
            "token_type_ids": self.create_token_type_ids_from_sequences(ids, pair_ids)
            if added
            else [0] * len(ids + pair),
            "special_tokens_mask": self.get_special_tokens_mask(ids, pair_ids)
            if added
            else [0] * len(ids + pair),
        }
        row: dict[str, Any] = {}
        if options.return_overflowing_tokens:
            row |= {"overflowing_tokens": overflow, "num_truncated_tokens": over}
        wanted = self._returned(options)
        row |= {name: made[name] for name in made if name in wanted}
        self._warn_of_length(len(row["input_ids"]), lengths, options)
        if lengths.pads or "attention_mask" in wanted:
            side = options.padding_side or self.padding_side
            width = padded_width([row], lengths, options.pad_to_multiple_of)
            row = self._pad_row(row, width, side, "attention_mask" in wanted)
        if options.return_length:
            row["length"] = len(row["input_ids"])
        tensors = options.return_tensors
        return BatchEncoding(row, None, tensors, prepend_batch_axis)

    def truncate_sequences(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: str = "longest_first",
        stride: int = 0,
    ) -> tuple[list[int], list[int] | None, list[int]]:
        """Removes tokens of one text or of two.

        Args:
            ids: of a text.
            pair_ids: of the second text.
            num_tokens_to_remove: how many; 0 or less removes none.
            truncation_strategy: see `Options`.
            stride: tokens kept that are also among those returned as removed.

        Returns:
            Both texts, and what was removed, none if it was from both texts.

        Raises:
            InputError: a text is too short.
        """
        strategy = TruncationStrategy(truncation_strategy)
        over = num_tokens_to_remove
        if over <= 0 or strategy is TruncationStrategy.DO_NOT_TRUNCATE:
            return ids, pair_ids, []
        if strategy is TruncationStrategy.LONGEST_FIRST and pair_ids is not None:
            room = len(ids) + len(pair_ids) - over
            first, second = longest_first(len(ids), len(pair_ids), room)
            return self._cut(ids, first), self._cut(pair_ids, second), []
        is_second = strategy is TruncationStrategy.ONLY_SECOND
        text = pair_ids if is_second else ids
        if text is None or len(text) <= over:
            raise InputError(
                f"Expected a text of more than {over} tokens to remove them from. "
                f"Received: {len(text or ())}, with {strategy!s}. Raise max_length, or "
                "write truncation='longest_first'."
            )
        cut, window = self._cut(text, len(text) - over), stride + over
        removed = text[-window:] if self.truncation_side == "right" else text[:window]
        return (ids, cut, removed) if is_second else (cut, pair_ids, removed)

    def _cut(self, ids: list[int], length: int) -> list[int]:
        right = self.truncation_side == "right"
        return ids[:length] if right else ids[len(ids) - length :]

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pads rows that were encoded before.

        Args:
            encoded_inputs: what a call returned, a list of that, or dicts of lists; of
                one text or of several.
            padding: see `Options`.
            max_length: see `Options`.
            pad_to_multiple_of: see `Options`.
            padding_side: see `Options`.
            return_attention_mask: add the mask if it is not there.
            return_tensors: see `Options`; None is what was given.
            verbose: warn.

        Returns:
            Rows of one length; values of other names are left as they are.

        Raises:
            InputError: there are no `input_ids`, or numbers of rows differ.
        """
        columns = columns_of(encoded_inputs)
        given = columns.get("input_ids")
        if given is None:
            raise InputError(
                f"Expected input_ids, as a tokenizer returns them. Received: "
                f"{', '.join(columns)}."
            )
        if len(given) == 0:
            return BatchEncoding(columns)
        return_tensors = return_tensors or tensor_type(given[0])
        columns = to_py_obj(columns)
        options = Options(
            padding=padding,
            truncation=False,
            max_length=max_length,
            return_attention_mask=return_attention_mask,
            verbose=verbose,
        )
        several = isinstance(columns["input_ids"][0], list)
        rows = rows_of(columns) if several else [columns]
        width = padded_width(rows, self._lengths(options), pad_to_multiple_of)
        side = padding_side or self.padding_side
        mask = "attention_mask" in self._returned(options)
        rows = [self._pad_row(row, width, side, mask) for row in rows]
        names = dict.fromkeys(chain.from_iterable(rows))
        padded = {k: [r[k] for r in rows] for k in names} if several else rows[0]
        return BatchEncoding(padded, tensor_type=return_tensors)

    def _pad_row(
        self, row: Mapping[str, Any], width: int | None, side: str, mask: bool
    ) -> dict[str, Any]:
        length = len(row["input_ids"])
        row = dict(row)
        if mask:
            row.setdefault("attention_mask", [1] * length)
        fillers = {
            **({"attention_mask": 0} if mask else {}),
            "token_type_ids": self.pad_token_type_id,
            "special_tokens_mask": 1,
            "input_ids": self.pad_token_id,
        }
        return pad_row(row, width or length, side, fillers)
