"""The host tokenizer: text to model inputs and back."""

import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np

from keras_bert.errors import InputError, UnknownNameError, choose
from keras_bert.tokenization.encoding import Special, as_lists, assemble, width_of
from keras_bert.tokenization.files import lines_of
from keras_bert.tokenization.rules import WordRules
from keras_bert.tokenization.tokenizer_files import (
    CONFIG_FILE,
    FAST_FILE,
    config_text,
    fast_text,
    find_vocab,
    read_settings,
    vocabulary_text,
    write_files,
)
from keras_bert.tokenization.truncation import Cutter
from keras_bert.tokenization.vocab import (
    SPECIAL_TOKENS,
    VOCAB_FILE,
    count_words,
    load_vocab,
    train_vocab,
)
from keras_bert.tokenization.wordpiece import WordPiece


class BertTokenizer:
    """Turns text into BERT's inputs, exactly by Google's rules.

    Special tokens in text are not recognized: a literal "[MASK]" is the words "[",
    "mask", "]". Words longer than 200 characters are unknown.

    Args:
        vocab_file: path of a `vocab.txt`, or the tokens in the order of their ids.
        do_lower_case: lower-case the text and strip accents; True for uncased
            vocabularies.
        strip_accents: None follows `do_lower_case`.
        tokenize_chinese_chars: make every CJK ideograph a separate word.
        model_max_length: positions of the model; the default of `max_length`.
        **special_tokens: other spellings of `pad_token`, `unk_token`, `cls_token`,
            `sep_token` and `mask_token`.

    Raises:
        MissingFileError: there is no such file.
        InputError: the vocabulary is empty or lacks [PAD], [UNK], [CLS] or [SEP].

    Example:
        >>> vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "run", "##ning"]
        >>> tokenizer = BertTokenizer(vocab)
        >>> tokenizer("Running")["input_ids"]
        array([[2, 5, 6, 3]], dtype=int32)

    Source: `FullTokenizer` in google-research/bert, tokenization.py.
    """

    def __init__(
        self,
        vocab_file: str | Path | Sequence[str],
        do_lower_case: bool = True,
        *,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        model_max_length: int = 512,
        **special_tokens: str,
    ) -> None:
        for name in special_tokens:
            choose("special token", name, SPECIAL_TOKENS)
        if isinstance(vocab_file, str | os.PathLike):
            self.tokens = load_vocab(vocab_file)
        else:
            self.tokens = list(vocab_file)
        self.vocab = {token: index for index, token in enumerate(self.tokens)}
        self.rules = WordRules(do_lower_case, strip_accents, tokenize_chinese_chars)
        self.model_max_length = model_max_length
        self.special_tokens = SPECIAL_TOKENS | special_tokens
        self._require("pad_token", "unk_token", "cls_token", "sep_token")
        self._wordpiece = WordPiece(self.vocab, self.rules, self.unk_token_id)

    def _require(self, *names: str) -> None:
        tokens = [self.special_tokens[name] for name in names]
        missing = [token for token in tokens if token not in self.vocab]
        if missing:
            raise InputError(
                f"Expected {', '.join(missing)} in the vocabulary of "
                f"{self.vocab_size} tokens; not found. Check that the file is a "
                "BERT vocab.txt, or name your own special tokens."
            )

    @classmethod
    def from_pretrained(cls, path: str | Path, **overrides: Any) -> "BertTokenizer":
        """Loads a tokenizer from a directory.

        Args:
            path: a directory with `vocab.txt` (or `tokenizer.json`) and optionally
                `tokenizer_config.json`, saved by this package, by Hugging Face or by
                Google; or a vocabulary file.
            **overrides: arguments of the constructor, instead of the stored ones.

        Returns:
            The tokenizer.

        Raises:
            MissingFileError: no such directory, or no vocabulary in it.
            InputError: a file in it is invalid.
        """
        path = Path(path)
        folder = path.parent if path.is_file() else path
        return cls(find_vocab(path), **read_settings(folder) | overrides)

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
        counts = count_words(lines_of(source), rules)
        tokens = train_vocab(counts, vocab_size, **trainer)
        return cls(tokens, **rules._asdict(), model_max_length=model_max_length)

    def __reduce__(self) -> tuple:
        # Without the caches, which another process fills again.
        return partial(type(self), self.tokens, **self._settings()), ()

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
        present = (self.vocab.get(t) for t in self.special_tokens.values())
        return [index for index in present if index is not None]

    @property
    def vocab_size(self) -> int:
        """The number of ids."""
        return len(self.tokens)

    def __len__(self) -> int:
        return self.vocab_size

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

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...  # type: ignore[overload-overlap]
    @overload
    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int]:
        """Returns the id of a token, or of each; that of [UNK] if it is unknown."""
        if isinstance(tokens, str):
            return self.vocab.get(tokens, self.unk_token_id)
        unk_id = self.unk_token_id
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
        ids = [int(index) for index in ids]
        outside = [index for index in ids if not 0 <= index < self.vocab_size]
        if outside:
            raise UnknownNameError(
                f"Expected ids from 0 to {self.vocab_size - 1}, received {outside[0]}. "
                "Check that the tokenizer belongs to the model."
            )
        return [self.tokens[index] for index in ids]

    def convert_tokens_to_string(self, tokens: Iterable[str]) -> str:
        """Joins tokens: `##` pieces to the token before them, others by spaces."""
        return " ".join(tokens).replace(" ##", "").strip()

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = True) -> str:
        """Returns the text of ids, normalized like the vocabulary.

        Args:
            ids: ids of one sequence.
            skip_special_tokens: drop [CLS], [SEP], [PAD], [MASK] and [UNK].
        """
        skipped = set(self.all_special_ids) if skip_special_tokens else ()
        kept = [int(index) for index in ids if int(index) not in skipped]
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
        batch = self([text], pairs, max_length=max_length, truncation=truncation)
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

    @property
    def _framing(self) -> Special:
        return Special(self.pad_token_id, self.cls_token_id, self.sep_token_id)

    def _read(self, text: str | Sequence[str], columns: int) -> np.ndarray:
        """Returns tokens as rows of numbers: id, begin, end, word; or the id alone."""
        parts = [text] if isinstance(text, str) else text
        for part in parts:
            if not isinstance(part, str):
                raise InputError(
                    f"Expected a string, received {type(part).__name__}: {part!r:.60}."
                )
        if columns > 1:
            return self._wordpiece.spans(parts)
        return np.array(self.text_to_ids(parts[0]), np.int32).reshape(-1, 1)

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
        fast = fast_text(self.vocab, self.rules, self.special_tokens)
        texts = {
            CONFIG_FILE: config_text(self._settings()),
            FAST_FILE: fast,
            VOCAB_FILE: vocabulary_text(self.tokens),
        }
        return write_files(Path(path), texts, overwrite)

    def save_vocabulary(self, file: str | Path, overwrite: bool = False) -> Path:
        """Writes only the vocabulary, one token per line.

        Raises:
            ExistingOutputError: the file exists and `overwrite` is False.
        """
        file, text = Path(file), vocabulary_text(self.tokens)
        (written,) = write_files(file.parent, {file.name: text}, overwrite)
        return written

    def _settings(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, except for the vocabulary."""
        settings = self.rules._asdict() | self.special_tokens
        return settings | {"model_max_length": self.model_max_length}
