"""The host tokenizer: text to model inputs and back."""

import os
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert.errors import InputError, choose
from keras_bert.hub import local_path, take_options
from keras_bert.tokenization.added_tokens import AddedTokens
from keras_bert.tokenization.encoding import Special, as_lists, assemble, width_of
from keras_bert.tokenization.files import lines_of
from keras_bert.tokenization.rules import WordRules
from keras_bert.tokenization.token_table import TokenTable, whole
from keras_bert.tokenization.truncation import Cutter
from keras_bert.tokenization.vocab import count_words, load_vocab, train_vocab
from keras_bert.tokenization.wordpiece import GOOGLE_WORD_LENGTH, WordPiece
from keras_bert.tokenizer_folder import (
    NO_LIMIT,
    PREFIX,
    SPECIAL_TOKENS,
    WORD_LENGTH,
    AddedToken,
    TokenizerFolder,
    folder_texts,
    read_folder,
    vocabulary_text,
    write_files,
)

_HUB_FILES = ("*.json", "*.txt")


class BertTokenizer(TokenTable):
    """Turns text into BERT's inputs, as transformers 5 does.

    Special and other added tokens are found in text: "[MASK]" is one token. With
    `google_rules`, as pretraining data are made, the five tokens named below are not,
    and characters and long words are treated as in Google's Python code.

    Args:
        vocab_file: path of a `vocab.txt`, or the tokens in the order of their ids.
        do_lower_case: lower-case the text and strip accents; True for uncased
            vocabularies.
        strip_accents: None follows `do_lower_case`.
        tokenize_chinese_chars: make every CJK ideograph a separate word.
        clean_text: drop control characters.
        google_rules: follow Google's code where transformers differs from it.
        split_special_tokens: do not look for special tokens in text.
        continuing_subword_prefix: begins the tokens that continue a word.
        max_word_length: longer words, in characters, are unknown. None is 100, or 200
            with `google_rules`.
        model_max_length: positions of the model; the default of `max_length`.
        added_tokens: tokens to look for in text before it is split into words; those
            not in the vocabulary get the next ids. Strings, mappings or `AddedToken`s
            of transformers. None are those below, as far as the vocabulary has them.
        **special_tokens: other spellings of `pad_token`, `unk_token`, `cls_token`,
            `sep_token` and `mask_token`.

    Raises:
        MissingFileError: there is no such file.
        InputError: the vocabulary is empty, has no order (a dict or set), or lacks
            [PAD], [UNK], [CLS] or [SEP].

    Example:
        >>> vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "run", "##ning"]
        >>> tokenizer = BertTokenizer(vocab)
        >>> tokenizer("Running")["input_ids"]
        array([[2, 5, 6, 3]], dtype=int32)

    Sources: `BertTokenizer` in huggingface/transformers; `FullTokenizer` in
    google-research/bert, tokenization.py.
    """

    def __init__(
        self,
        vocab_file: str | Path | Sequence[str],
        do_lower_case: bool = True,
        *,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        clean_text: bool = True,
        google_rules: bool = False,
        split_special_tokens: bool = False,
        continuing_subword_prefix: str = PREFIX,
        max_word_length: int | None = None,
        model_max_length: int = 512,
        added_tokens: Iterable[Any] | None = None,
        **special_tokens: str,
    ) -> None:
        for name in special_tokens:
            choose("special token", name, SPECIAL_TOKENS)
        super().__init__(_tokens_of(vocab_file), SPECIAL_TOKENS | special_tokens)
        self._words = dict(self.vocab)
        self.rules = WordRules(
            do_lower_case,
            strip_accents,
            tokenize_chinese_chars,
            clean_text,
            google_rules,
        )
        self.split_special_tokens = split_special_tokens
        self.continuing_subword_prefix = continuing_subword_prefix
        default = GOOGLE_WORD_LENGTH if google_rules else WORD_LENGTH
        self.max_word_length = max_word_length or default
        self.model_max_length = model_max_length
        if added_tokens is None:
            found = TokenizerFolder(self.tokens, self.special_tokens)
            added_tokens = found.added_tokens
        self._add(map(AddedToken.of, added_tokens))
        self._require("pad_token", "unk_token", "cls_token", "sep_token")

    def _add(self, tokens: Iterable[AddedToken]) -> int:
        changed = super()._add(tokens)
        self._wordpiece = WordPiece(
            self._words,
            self.rules,
            self.vocab.get(self.special_tokens["unk_token"], 0),
            AddedTokens(self.tokens_in_text, self.rules),
            self.continuing_subword_prefix,
            self.max_word_length,
        )
        return changed

    def _has(self, name: str, token: str) -> bool:
        # Unknown words get their token from the vocabulary, as others do.
        return token in (self._words if name == "unk_token" else self.vocab)

    def add_special_tokens(self, special_tokens_dict: Mapping[str, Any]) -> int:
        """Adds special tokens, and gives them their names; see `TokenTable`."""
        unknown = special_tokens_dict.get("unk_token")
        token = None if unknown is None else AddedToken.of(unknown, special=True)
        if token and not self._has("unk_token", token.content):
            raise InputError(
                "Expected a token of the vocabulary as unk_token: it stands for the "
                f"words it lacks. Received: {token.content!r}."
            )
        return super().add_special_tokens(special_tokens_dict)

    @property
    def tokens_in_text(self) -> dict[AddedToken, int]:
        """The added tokens that are looked for in text."""
        named = self.special_tokens.values() if self.rules.google_rules else ()
        return {
            token: index
            for token, index in self.added_tokens.items()
            if token.content not in named
            and not (token.special and self.split_special_tokens)
        }

    @classmethod
    def from_pretrained(cls, path: str | Path, **overrides: Any) -> "BertTokenizer":
        """Loads a tokenizer: the one that transformers' `AutoTokenizer` loads.

        Args:
            path: a directory with `tokenizer.json` or `vocab.txt` and what belongs to
                them (`tokenizer_config.json`, `special_tokens_map.json`,
                `added_tokens.json`), or a vocabulary file; or `hf://org/name`.
            **overrides: arguments of the constructor, instead of the stored ones; and
                options of the download, see `keras_bert.hub.local_path`.

        Returns:
            The tokenizer.

        Raises:
            MissingFileError: no such directory, or no vocabulary in it.
            InputError: a file in it is invalid, or asks for what this package does
                not have.
        """
        options = take_options(overrides)
        found = read_folder(local_path(path, _HUB_FILES, **options))
        return cls(found.tokens, **found.settings | overrides)

    @classmethod
    def train(
        cls,
        source: str | Path | Iterable[str | Path],
        vocab_size: int = 30522,
        do_lower_case: bool = True,
        *,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        model_max_length: int = 512,
        **trainer: Any,
    ) -> "BertTokenizer":
        """Learns a vocabulary from text.

        Equal text gives an equal vocabulary, byte by byte.

        Args:
            source: a file, a list of files (`.gz` included), or an iterator of
                strings, which is consumed once and not held in memory.
            vocab_size: the most tokens of the vocabulary.
            do_lower_case: see the constructor.
            strip_accents: see the constructor.
            tokenize_chinese_chars: see the constructor.
            model_max_length: see the constructor.
            **trainer: `min_frequency`, `limit_alphabet`, `unused`, `progress`;
                see `keras_bert.tokenization.vocab.train_vocab`.

        Returns:
            The tokenizer.

        Example:
            >>> tokenizer = BertTokenizer.train(iter(["low lower"] * 9), vocab_size=30)
            >>> tokenizer.tokenize("Lower")
            ['lower']
        """
        rules = WordRules(do_lower_case, strip_accents, tokenize_chinese_chars)
        counts = count_words(lines_of(source), rules._replace(google_rules=True))
        tokens = train_vocab(counts, vocab_size, **trainer)
        return cls(tokens, **rules._asdict(), model_max_length=model_max_length)

    def __reduce__(self) -> tuple:
        # Without the caches, which another process fills again.
        return partial(type(self), self.base_tokens, **self.settings()), ()

    # === Text to tokens and ids, without special tokens ===

    def text_to_ids(self, text: str) -> list[int]:
        """Returns the ids of a text, without special tokens."""
        return self._wordpiece.ids(text)

    def texts_to_ids(self, texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ids of many texts in one array, without special tokens.

        This is the fastest way to tokenize a corpus.

        Args:
            texts: strings; a line end counts as a space.

        Returns:
            ids: int32 `(tokens,)`, the ids of all texts in order.
            splits: int64 `(texts + 1,)`: text `i` is `ids[splits[i]:splits[i + 1]]`.

        Example:
            >>> vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "run", "##ning"]
            >>> ids, splits = BertTokenizer(vocab).texts_to_ids(["Running", "", "run"])
            >>> ids.tolist(), splits.tolist()
            ([4, 5, 4], [0, 2, 2, 3])
        """
        return self._wordpiece.ragged_ids(texts)

    def tokenize(self, text: str) -> list[str]:
        """Returns the tokens of a text, without special tokens.

        Example:
            >>> tokenizer.tokenize("unaffable")  # doctest: +SKIP
            ['una', '##ffa', '##ble']
        """
        return self.convert_ids_to_tokens(self.text_to_ids(text))

    def convert_tokens_to_string(self, tokens: Iterable[str]) -> str:
        """Joins tokens: `##` pieces to the token before them, others by spaces."""
        inside = f" {self.continuing_subword_prefix}"
        return " ".join(tokens).replace(inside, "").strip()

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = True) -> str:
        """Returns the text of ids, normalized like the vocabulary.

        Args:
            ids: ids of one sequence.
            skip_special_tokens: drop [CLS], [SEP], [PAD], [MASK], [UNK] and other
                special tokens.
        """
        skipped = set(self.all_special_ids) if skip_special_tokens else ()
        kept = [index for index in whole(ids) if index not in skipped]
        return self.convert_tokens_to_string(self.convert_ids_to_tokens(kept))

    def encode(
        self,
        text: str,
        text_pair: str | None = None,
        *,
        max_length: int | None = None,
        add_special_tokens: bool = True,
    ) -> list[int]:
        """Returns the ids of one text or pair, with special tokens.

        Args:
            text: the text.
            text_pair: the second text of a pair.
            max_length: truncate to this many tokens, the longer text first; None
                never truncates.
            add_special_tokens: add [CLS] and [SEP].

        Example:
            >>> tokenizer.encode("Running")  # doctest: +SKIP
            [101, 2770, 102]
        """
        if not add_special_tokens:
            pair = self.text_to_ids(text_pair) if text_pair is not None else []
            return (self.text_to_ids(text) + pair)[:max_length]
        pairs = None if text_pair is None else [text_pair]
        truncation = max_length is not None
        batch = self.encode_batch(
            [text], pairs, max_length=max_length, truncation=truncation
        )
        return batch["input_ids"][0].tolist()

    # === Batches ===

    def __call__(
        self,
        texts: str | Sequence[str] | Sequence[Sequence[str]],
        text_pairs: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        max_length: int | None = 128,
        padding: bool | str = True,
        truncation: bool | str = True,
        stride: int = 0,
        return_offsets_mapping: bool = False,
        is_split_into_words: bool = False,
    ) -> dict[str, np.ndarray]:
        """Encodes texts, or pairs of texts, into one batch.

        Args:
            texts: one text or a list of them.
            text_pairs: the second texts, as many as `texts`.
            max_length: the most tokens per row, special tokens included; None takes
                `model_max_length`.
            padding: True pads to the longest row, "max_length" to `max_length`; False
                requires rows of equal length.
            truncation: True or "longest_first" removes tokens from the end of the
                longer text, "only_first" and "only_second" from that text; False
                never truncates.
            stride: above 0, a text that is too long becomes several rows, which
                overlap by `stride` tokens. Of a pair the second text is split, or
                the first if `truncation` is "only_first".
            return_offsets_mapping: also return the place of each token in its text.
            is_split_into_words: each text is a list of words; also return `word_ids`.

        Returns:
            A dict of int32 arrays: `input_ids`, `token_type_ids`, `attention_mask`
            `(rows, seq)`. On request `offset_mapping` `(rows, seq, 2)`: begin and end
            of each token in code points of the original text, or word, zeros for
            special tokens; with `stride` `overflow_to_sample_mapping` `(rows,)`: the
            text of each row; with `is_split_into_words` `word_ids` `(rows, seq)`: the
            word of each token, -1 for special tokens.

        Raises:
            InputError: the arguments contradict each other.

        Example:
            >>> batch = tokenizer(["one", "two words"])  # doctest: +SKIP
            >>> batch["attention_mask"]  # doctest: +SKIP
            array([[1, 1, 1, 0], [1, 1, 1, 1]], dtype=int32)
        """
        max_length = self.model_max_length if max_length is None else max_length
        if padding == "max_length" and max_length >= NO_LIMIT:
            raise InputError(
                "Expected max_length with padding='max_length': the tokenizer has no "
                "model_max_length."
            )
        cut = Cutter(truncation, max_length, stride, text_pairs is not None)
        columns = 4 if return_offsets_mapping or is_split_into_words else 1
        pairs = zip(*as_lists(texts, text_pairs, is_split_into_words), strict=True)
        rows = [
            row
            for sample, (first, second) in enumerate(pairs)
            for row in cut(
                self._read(first, columns),
                None if second is None else self._read(second, columns),
                sample,
            )
        ]
        width = width_of(rows, padding, max_length)
        batch = assemble(rows, width, self._framing, columns)
        samples = [row.sample for row in rows]
        batch["overflow_to_sample_mapping"] = np.array(samples, np.int32)
        kept = {
            "overflow_to_sample_mapping": stride > 0,
            "offset_mapping": return_offsets_mapping,
            "word_ids": is_split_into_words,
        }
        return {k: v for k, v in batch.items() if kept.get(k, True)}

    # Callers in this package use this: a subclass may be called as another library's.
    encode_batch = __call__

    @property
    def _framing(self) -> Special:
        return Special(self.pad_token_id, self.cls_token_id, self.sep_token_id)

    def _read(self, text: str | Sequence[str], columns: int) -> np.ndarray:
        """Returns tokens as rows of numbers: id, begin, end, word; or the id alone."""
        if columns > 1:
            return self._wordpiece.spans([text] if isinstance(text, str) else text)
        ids = self.text_to_ids(text if isinstance(text, str) else text[0])
        return np.array(ids, np.int32).reshape(-1, 1)

    # === Files ===

    def save_pretrained(self, path: str | Path, overwrite: bool = False) -> list[Path]:
        """Writes `vocab.txt`, `tokenizer_config.json` and `tokenizer.json`.

        The files are in Hugging Face's formats; `from_pretrained` reads them.

        Args:
            path: a directory, created if necessary.
            overwrite: replace existing files.

        Returns:
            The files written.

        Raises:
            ExistingOutputError: a file exists and `overwrite` is False.
        """
        texts = folder_texts(TokenizerFolder(self.base_tokens, self.settings()))
        return write_files(Path(path), texts, overwrite)

    def save_vocabulary(self, file: str | Path, overwrite: bool = False) -> Path:
        """Writes only the vocabulary, one token per line.

        Raises:
            ExistingOutputError: the file exists and `overwrite` is False.
        """
        file, text = Path(file), vocabulary_text(self.tokens)
        (written,) = write_files(file.parent, {file.name: text}, overwrite)
        return written

    def settings(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, except for the vocabulary."""
        return {
            **self.rules._asdict(),
            "split_special_tokens": self.split_special_tokens,
            "continuing_subword_prefix": self.continuing_subword_prefix,
            "max_word_length": self.max_word_length,
            "model_max_length": self.model_max_length,
            "added_tokens": [token._asdict() for token in self.added_tokens],
            **self.special_tokens,
        }


def _tokens_of(vocabulary: str | Path | Sequence[str]) -> list[str]:
    """Returns the tokens in the order of their ids."""
    if isinstance(vocabulary, str | os.PathLike):
        return load_vocab(vocabulary)
    # The order of a dict or a set need not be that of the ids.
    ordered = isinstance(vocabulary, Iterable)
    ordered = ordered and not isinstance(vocabulary, Mapping | Set | bytes)
    tokens: list[Any] = list(vocabulary) if ordered else [None]
    if not all(isinstance(token, str) for token in tokens):
        raise InputError(
            "Expected the path of a vocab.txt, or a list of tokens in the order of "
            f"their ids, such as sorted(vocab, key=vocab.get) of a dict. Received: "
            f"{type(vocabulary).__name__} {str(vocabulary)[:40]!r}."
        )
    return tokens
