"""A vocabulary with added and special tokens: what every tokenizer has."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

from keras_bert.errors import InputError, UnknownNameError, choose
from keras_bert.tokenizer_folder import SPECIAL_TOKENS, AddedToken

_EXTRA = ("additional_special_tokens", "extra_special_tokens")


class TokenTable:
    """The tokens of a tokenizer and their ids.

    Args:
        tokens: the vocabulary, in the order of ids.
        special_tokens: the spellings of `pad_token` and the like; "" is none.

    Attributes:
        tokens: all tokens, in the order of ids.
        vocab: their ids.
        special_tokens: as given, later changes included.
    """

    def __init__(
        self, tokens: Sequence[str], special_tokens: Mapping[str, str]
    ) -> None:
        self.tokens = list(tokens)
        self._base = len(self.tokens)  # without added tokens
        self.vocab = {token: index for index, token in enumerate(self.tokens)}
        self.special_tokens = dict(special_tokens)
        self._added: dict[str, AddedToken] = {}

    def _add(self, tokens: Iterable[AddedToken]) -> int:
        """Adds tokens; returns how many were not added already, as they are."""
        changed = 0
        for token in tokens:
            if not token.content:
                continue
            changed += self._added.get(token.content) != token
            self._added[token.content] = token
            if token.content not in self.vocab:
                self.vocab[token.content] = len(self.tokens)
                self.tokens.append(token.content)
        return changed

    @property
    def base_tokens(self) -> list[str]:
        """The vocabulary without the tokens that were added to it."""
        return self.tokens[: self._base]

    @property
    def added_tokens(self) -> dict[AddedToken, int]:
        """The added tokens and their ids, in the order of ids."""
        found = {token: self.vocab[token.content] for token in self._added.values()}
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def _has(self, name: str, token: str) -> bool:
        """Whether a token may have a name."""
        return token in self.vocab

    def _require(self, *names: str) -> None:
        tokens = {name: self.special_tokens[name] for name in names}
        missing = [t or name for name, t in tokens.items() if not self._has(name, t)]
        if missing:
            raise InputError(
                f"Expected {', '.join(missing)} in the vocabulary of "
                f"{len(self)} tokens; not found. Check that the files are those of the "
                "model, or name your own special tokens."
            )

    # === Added tokens ===

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Adds tokens, which are found in text as a whole.

        Those that the vocabulary lacks get the next ids: resize the model's embeddings
        with `model.resize_token_embeddings(len(tokenizer))`.

        Args:
            new_tokens: a token or a list of them: strings, or `AddedToken`s of
                transformers (or mappings with their fields), which say how the token is
                looked for.
            special_tokens: the tokens are special: `decode` drops them.

        Returns:
            The number of tokens added, or changed.

        Raises:
            InputError: a token is none of these.

        Example:
            >>> from keras_bert import BertTokenizer
            >>> vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b"]
            >>> tokenizer = BertTokenizer(vocab)
            >>> tokenizer.add_tokens(["<e1>", "<e2>"])
            2
            >>> tokenizer.tokenize("a<e1>b"), len(tokenizer)
            (['a', '<e1>', 'b'], 8)
        """
        several = isinstance(new_tokens, list | tuple)
        several = several and not isinstance(new_tokens, AddedToken)
        tokens = [
            AddedToken.of(token, special=special_tokens)
            for token in (new_tokens if several else [new_tokens])
        ]
        if special_tokens:
            tokens = [token._replace(special=True) for token in tokens]
        return self._add(tokens)

    def add_special_tokens(self, special_tokens_dict: Mapping[str, Any]) -> int:
        """Adds special tokens, and gives them their names.

        Args:
            special_tokens_dict: tokens by name, `pad_token` and so on, and a list as
                `additional_special_tokens`.

        Returns:
            The number of tokens added, or changed.

        Raises:
            UnknownNameError: there is no such name.

        Example:
            >>> from keras_bert import BertTokenizer
            >>> vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"]
            >>> tokenizer = BertTokenizer(vocab)
            >>> tokenizer.add_special_tokens({"mask_token": "<mask>"})
            1
            >>> tokenizer.mask_token_id
            5
        """
        values = dict(special_tokens_dict)
        for name in values:
            choose("special token", name, (*SPECIAL_TOKENS, *_EXTRA))
        extra = [token for name in _EXTRA for token in values.pop(name, ())]
        named = {k: AddedToken.of(v, special=True) for k, v in values.items()}
        self.special_tokens |= {k: token.content for k, token in named.items()}
        return self.add_tokens([*named.values(), *extra], special_tokens=True)

    # === Special tokens ===

    def _special_id(self, name: str) -> int:
        self._require(name)
        return self.vocab[self.special_tokens[name]]

    @property
    def pad_token_id(self) -> int:
        """The id that fills padding."""
        return self._special_id("pad_token")

    @property
    def unk_token_id(self) -> int:
        """The id of unknown words."""
        return self._special_id("unk_token")

    @property
    def cls_token_id(self) -> int:
        """The id that begins every sequence."""
        return self._special_id("cls_token")

    @property
    def sep_token_id(self) -> int:
        """The id that ends every text."""
        return self._special_id("sep_token")

    @property
    def mask_token_id(self) -> int:
        """The id that masks a token for the masked language model."""
        return self._special_id("mask_token")

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of all special tokens in the vocabulary."""
        added = (token.content for token in self._added.values() if token.special)
        names = dict.fromkeys((*self.special_tokens.values(), *added))
        return [self.vocab[name] for name in names if name in self.vocab]

    @property
    def vocab_size(self) -> int:
        """The number of ids, those of added tokens included."""
        return len(self)

    def __len__(self) -> int:
        return len(self.tokens)

    # === Tokens and ids ===

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...  # type: ignore[overload-overlap]
    @overload
    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int]:
        """Returns the id of a token, or of each; that of `unk_token` if unknown."""
        unk_id: Any = self.vocab.get(self.special_tokens["unk_token"])
        if isinstance(tokens, str):
            return self.vocab.get(tokens, unk_id)
        return [self.vocab.get(token, unk_id) for token in tokens]

    @overload
    def convert_ids_to_tokens(self, ids: int) -> str: ...
    @overload
    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]: ...
    def convert_ids_to_tokens(self, ids: int | Iterable[int]) -> str | list[str]:
        """Returns the token of an id, or of each.

        Raises:
            UnknownNameError: an id is outside the vocabulary.
        """
        if not isinstance(ids, Iterable):
            return self.convert_ids_to_tokens([ids])[0]
        ids = whole(ids)
        outside = [index for index in ids if not 0 <= index < len(self)]
        if outside:
            raise UnknownNameError(
                f"Expected ids from 0 to {len(self) - 1}, received {outside[0]}. "
                "Check that the tokenizer belongs to the model."
            )
        return [self.tokens[index] for index in ids]


def whole(ids: Iterable[Any]) -> list[int]:
    """Returns ids as integers."""
    ids = list(ids)
    odd = [index for index in ids if int(index) != index]
    if odd:
        raise InputError(f"Expected ids in integers. Received: {odd[0]}.")
    return [int(index) for index in ids]
