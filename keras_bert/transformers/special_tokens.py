"""Special tokens by the names `transformers` gives them."""

from collections.abc import Mapping
from typing import Any

from keras_bert.errors import InputError
from keras_bert.tokenization.token_table import TokenTable
from keras_bert.tokenizer_folder import SPECIAL_TOKENS

# In the order in which transformers lists them. BERT itself has no first two.
NAMED = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
EXTRA = "additional_special_tokens"


class NamedTokens(TokenTable):
    """The attributes of a tokenizer about special tokens.

    `pad_token`, `pad_token_id` and the like, for every name in `NAMED`, can be set to
    tokens of the vocabulary. `bos_token` and `eos_token` are None until they are.
    """

    _others: Mapping[str, str] = {}

    @property
    def _named(self) -> dict[str, str]:
        found = {**self.special_tokens, **self._others}
        return {k: found[k] for k in NAMED if found.get(k) in self.vocab}

    def _name(self, name: str, token: str | None) -> None:
        token = None if token is None else str(token)
        if token not in (None, "") and token not in self.vocab:
            raise InputError(
                f"Expected a token of the vocabulary as {name}. Received: {token!r}. "
                f"Add it with add_special_tokens({{{name!r}: {token!r}}})."
            )
        if name in SPECIAL_TOKENS and token:
            self.special_tokens = {**self.special_tokens, name: token}
            self._add(())  # the token of unknown words may be another
        elif name in SPECIAL_TOKENS:
            raise InputError(f"Expected a token as {name}. Received: {token!r}.")
        else:
            others = {k: v for k, v in self._others.items() if k != name}
            self._others = {**others, name: token} if token else others

    def add_special_tokens(
        self,
        special_tokens_dict: Mapping[str, Any],
        replace_additional_special_tokens: bool = True,
    ) -> int:
        """Adds special tokens, and gives them their names.

        Args:
            special_tokens_dict: tokens by name, and a list as
                `additional_special_tokens`.
            replace_additional_special_tokens: has no effect: what was added stays
                special.

        Returns:
            The number of tokens added, or changed.

        Raises:
            UnknownNameError: there is no such name.
        """
        values = dict(special_tokens_dict)
        others = {
            k: values.pop(k) for k in NAMED if k not in SPECIAL_TOKENS and k in values
        }
        values[EXTRA] = [*others.values(), *values.get(EXTRA, ())]
        added = super().add_special_tokens(values)
        for name, token in others.items():
            self._name(name, token)
        return added

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        """The special tokens by name; the others as a list."""
        extra = self.additional_special_tokens
        return {**self._named, **({EXTRA: extra} if extra else {})}

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens that have no name."""
        named = set(self._named.values())
        special = [t.content for t in self.added_tokens if t.special]
        return [token for token in special if token not in named]

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """The ids of the special tokens that have no name."""
        return self.convert_tokens_to_ids(self.additional_special_tokens)

    @property
    def all_special_tokens(self) -> list[str]:
        """All special tokens, each once."""
        named = self._named.values()
        return list(dict.fromkeys((*named, *self.additional_special_tokens)))

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of all special tokens."""
        return self.convert_tokens_to_ids(self.all_special_tokens)


def _token_property(name: str) -> property:
    def get(tokenizer: NamedTokens) -> str | None:
        return tokenizer._named.get(name)

    def put(tokenizer: NamedTokens, token: str | None) -> None:
        tokenizer._name(name, token)

    return property(get, put, doc=f"The token called {name}, or None.")


def _id_property(name: str) -> property:
    def get(tokenizer: NamedTokens) -> int | None:
        if name in SPECIAL_TOKENS:
            return tokenizer._special_id(name)
        return tokenizer.vocab.get(tokenizer._others.get(name, ""))

    def put(tokenizer: NamedTokens, index: int | None) -> None:
        token = None if index is None else tokenizer.convert_ids_to_tokens(index)
        tokenizer._name(name, token)

    return property(get, put, doc=f"The id of the token called {name}, or None.")


for _name in NAMED:
    setattr(NamedTokens, _name, _token_property(_name))
    setattr(NamedTokens, f"{_name}_id", _id_property(_name))
