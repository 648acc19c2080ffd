"""The tokenizer users meet: text to model inputs and back."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast, overload

import numpy as np

from keras_bert.errors import (
    ExistingOutputError,
    InputError,
    MissingFileError,
    UnknownNameError,
    choose,
)
from keras_bert.tokenization.files import is_list_of_files, read_lines
from keras_bert.tokenization.rules import WordRules
from keras_bert.tokenization.truncation import Cutter, TokenRow
from keras_bert.tokenization.vocab import (
    SPECIAL_TOKENS,
    VOCAB_FILE,
    count_words,
    load_vocab,
    train_vocab,
)
from keras_bert.tokenization.wordpiece import MAX_WORD_LENGTH, WordPiece

CONFIG_FILE = "tokenizer_config.json"
FAST_FILE = "tokenizer.json"

_NO_WORD = -1


class BertTokenizer:
    """Turns text into BERT's inputs, by exactly Google's rules.

    Text is never searched for special tokens: a literal "[MASK]" is the words
    "[", "mask", "]". Words longer than 200 characters are unknown.

    Args:
        vocab_file: path of a `vocab.txt`, or the tokens themselves in id order.
        do_lower_case: lower-case the text and strip accents; True for uncased
            vocabularies.
        strip_accents: None follows `do_lower_case`.
        tokenize_chinese_chars: make every CJK ideograph a word of its own.
        model_max_length: positions of the model; used when `max_length` is None.
        **special_tokens: other spellings of `pad_token`, `unk_token`,
            `cls_token`, `sep_token` and `mask_token`.

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
            path: a directory holding `vocab.txt` (or `tokenizer.json`) and
                perhaps `tokenizer_config.json`: one saved here, by Hugging Face,
                or a Google release. A file is read as the vocabulary itself.
            **overrides: arguments of the constructor, above what is stored.

        Returns:
            The tokenizer.

        Raises:
            MissingFileError: no such directory, or no vocabulary in it.
            InputError: a file in it cannot be understood.
        """
        path = Path(path)
        folder = path.parent if path.is_file() else path
        return cls(_find_vocab(path), **_read_settings(folder) | overrides)

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
                strings, which is read once and never held.
            vocab_size: the number of tokens to end with, at most.
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
        counts = count_words(_lines_of(source), rules)
        tokens = train_vocab(counts, vocab_size, **trainer)
        return cls(tokens, **rules._asdict(), model_max_length=model_max_length)

    def __reduce__(self) -> tuple:
        # What was remembered stays behind: another process learns it anew.
        settings = self._settings()
        settings.pop("tokenizer_class")
        return partial(type(self), self.tokens, **settings), ()

    # Special tokens

    def _special_id(self, name: str) -> int:
        self._require(name)
        return self.vocab[self.special_tokens[name]]

    @property
    def pad_token_id(self) -> int:
        """The id that fills padding."""
        return self._special_id("pad_token")

    @property
    def unk_token_id(self) -> int:
        """The id of words that cannot be cut."""
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
        """The id that hides a token from the masked language model."""
        return self._special_id("mask_token")

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of those special tokens that the vocabulary holds."""
        present = (self.vocab.get(t) for t in self.special_tokens.values())
        return [index for index in present if index is not None]

    @property
    def vocab_size(self) -> int:
        """The number of ids."""
        return len(self.tokens)

    def __len__(self) -> int:
        return self.vocab_size

    # Text to tokens and ids, without special tokens

    def text_to_ids(self, text: str) -> list[int]:
        """Returns the ids of a text, no special tokens added; the fastest way."""
        return self._wordpiece.ids(text)

    def texts_to_ids(self, texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ids of many texts in one row, no special tokens added.

        The fastest way for a corpus: the work per text is shared by all.

        Args:
            texts: strings; a line end counts as any other space.

        Returns:
            ids: int32 `(tokens,)`, the ids of all texts in order.
            splits: int64 `(texts + 1,)`; text `i` has `ids[splits[i]:splits[i + 1]]`.

        Example:
            >>> vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "run", "##ning"]
            >>> ids, splits = BertTokenizer(vocab).texts_to_ids(["Running", "", "run"])
            >>> ids.tolist(), splits.tolist()
            ([4, 5, 4], [0, 2, 2, 3])
        """
        return self._wordpiece.ragged_ids(texts)

    def tokenize(self, text: str) -> list[str]:
        """Returns the tokens of a text, no special tokens added.

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
        """Returns the id of a token, or of each; an unknown one gives [UNK]'s."""
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
            UnknownNameError: an id lies outside the vocabulary.
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
        """Joins tokens: `##` pieces to what stands before them, others by spaces."""
        return " ".join(tokens).replace(" ##", "").strip()

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = True) -> str:
        """Returns the text of ids, normalized as the vocabulary is.

        Args:
            ids: ids of one sequence.
            skip_special_tokens: leave out [CLS], [SEP], [PAD], [MASK] and [UNK].
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
        """Returns the ids of one text or pair, special tokens included.

        Args:
            text: the text.
            text_pair: the second text of a pair.
            max_length: cut to this many tokens, the longer text first; None
                never cuts.
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

    # Batches

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
            max_length: the most tokens of a row, special tokens included; None
                takes `model_max_length`.
            padding: True pads to the longest row, "max_length" to `max_length`.
                False demands rows of equal length.
            truncation: True or "longest_first" takes tokens from the end of the
                longer text; "only_first" and "only_second" cut that text alone;
                False never cuts.
            stride: above 0, a text that is too long becomes several rows, each
                of which begins with the last `stride` tokens of the one before.
                Of a pair the second text is cut, unless `truncation` is
                "only_first".
            return_offsets_mapping: also return where each token came from.
            is_split_into_words: each text is a list of words; see `word_ids`.

        Returns:
            A dict of int32 arrays `(rows, seq)`: `input_ids`, `token_type_ids`,
            `attention_mask`. On request `offset_mapping` `(rows, seq, 2)`: begin
            and end of each token, in code points of the original text (of the
            word, for split texts), zeros for special tokens;
            `overflow_to_sample_mapping` `(rows,)` with `stride`: which text a
            row belongs to; `word_ids` `(rows, seq)` with `is_split_into_words`:
            which word a token belongs to, -1 for special tokens.

        Raises:
            InputError: the arguments do not fit each other.

        Example:
            >>> batch = tokenizer(["one", "two words"])  # doctest: +SKIP
            >>> batch["attention_mask"]  # doctest: +SKIP
            array([[1, 1, 1, 0], [1, 1, 1, 1]], dtype=int32)
        """
        firsts, seconds = _as_lists(texts, text_pairs, is_split_into_words)
        max_length = self.model_max_length if max_length is None else max_length
        cut = Cutter(truncation, max_length, stride, seconds is not None)
        columns = 4 if return_offsets_mapping or is_split_into_words else 1
        rows = [
            row
            for sample, first in enumerate(firsts)
            for row in cut(
                self._read(first, columns),
                None if seconds is None else self._read(seconds[sample], columns),
                sample,
            )
        ]
        batch = self._assemble(rows, _width(padding, max_length), columns)
        if stride:
            samples = [row.sample for row in rows]
            batch["overflow_to_sample_mapping"] = np.array(samples, np.int32)
        kept = {
            "offset_mapping": return_offsets_mapping,
            "word_ids": is_split_into_words,
        }
        return {k: v for k, v in batch.items() if kept.get(k, True)}

    def _read(self, text: str | Sequence[str], columns: int) -> np.ndarray:
        """Tokens as rows of numbers: id, begin, end, word; or the id alone."""
        parts = [text] if isinstance(text, str) else text
        for part in parts:
            if not isinstance(part, str):
                raise InputError(
                    f"Expected a string, received {type(part).__name__}: {part!r:.60}."
                )
        if columns > 1:
            return self._wordpiece.spans(parts)
        return np.array(self.text_to_ids(parts[0]), np.int32).reshape(-1, 1)

    def _assemble(
        self, rows: list[TokenRow], width: int | None, columns: int
    ) -> dict[str, np.ndarray]:
        pad, begin, end = np.array(
            [
                [token, 0, 0, _NO_WORD]
                for token in (self.pad_token_id, self.cls_token_id, self.sep_token_id)
            ],
            np.int32,
        )[:, None, :columns]
        tables = [
            [begin, row.first, end] + ([] if row.second is None else [row.second, end])
            for row in rows
        ]
        lengths = np.array([sum(map(len, parts)) for parts in tables], np.int32)
        if width is None and len(set(lengths.tolist())) > 1:
            raise InputError("Rows differ in length; padding=False cannot hold them.")
        width = max([*lengths, width or 0])
        table = np.tile(pad, (len(rows), width, 1))  # (rows, seq, columns)
        for row, parts in zip(table, tables, strict=True):
            np.concatenate(parts, out=row[: sum(map(len, parts))])
        boundaries = np.array([len(row.first) + 2 for row in rows], np.int32)
        positions = np.arange(width, dtype=np.int32)
        mask = positions < lengths[:, None]
        types = mask & (positions >= boundaries[:, None])
        batch = {
            "input_ids": np.ascontiguousarray(table[..., 0]),
            "token_type_ids": types.astype(np.int32),
            "attention_mask": mask.astype(np.int32),
        }
        if columns > 1:
            batch["offset_mapping"] = np.ascontiguousarray(table[..., 1:3])
            batch["word_ids"] = np.ascontiguousarray(table[..., 3])
        return batch

    # Files

    def save_pretrained(self, path: str | Path, overwrite: bool = False) -> list[Path]:
        """Writes `vocab.txt`, `tokenizer_config.json` and `tokenizer.json`.

        The files are those of Hugging Face's form, and `from_pretrained` reads
        them back.

        Args:
            path: a directory; made when missing.
            overwrite: replace files that are there already.

        Returns:
            The files written.

        Raises:
            ExistingOutputError: a file is there and `overwrite` is False.
        """
        path = Path(path)
        files = {
            path / VOCAB_FILE: self._vocabulary(),
            path / CONFIG_FILE: _as_json(self._settings()),
            path / FAST_FILE: _as_json(self._fast_tokenizer()),
        }
        refuse_existing(files, overwrite)
        path.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            _write_whole(file, text)
        return list(files)

    def save_vocabulary(self, file: str | Path, overwrite: bool = False) -> Path:
        """Writes the vocabulary alone, one token a line.

        Raises:
            ExistingOutputError: the file is there and `overwrite` is False.
        """
        file = Path(file)
        refuse_existing([file], overwrite)
        file.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(file, self._vocabulary())
        return file

    def _vocabulary(self) -> str:
        return "".join(f"{token}\n" for token in self.tokens)

    def _settings(self) -> dict[str, Any]:
        settings = self.rules._asdict() | self.special_tokens
        settings["model_max_length"] = self.model_max_length
        return settings | {"tokenizer_class": "BertTokenizer"}

    def _fast_tokenizer(self) -> dict[str, Any]:
        """The same tokenizer in the form of the `tokenizers` library."""
        rules, special = self.rules, self.special_tokens
        flags = {"single_word": False, "lstrip": False, "rstrip": False}
        flags |= {"normalized": False, "special": True}
        present = [token for token in special.values() if token in self.vocab]
        added = [{"id": self.vocab[t], "content": t} | flags for t in present]
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": sorted(added, key=lambda token: token["id"]),
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": rules.tokenize_chinese_chars,
                "strip_accents": rules.strip_accents,
                "lowercase": rules.do_lower_case,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {
                "type": "BertProcessing",
                "sep": [special["sep_token"], self.sep_token_id],
                "cls": [special["cls_token"], self.cls_token_id],
            },
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {
                "type": "WordPiece",
                "unk_token": special["unk_token"],
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": MAX_WORD_LENGTH,
                "vocab": self.vocab,
            },
        }


def _as_lists(texts: Any, pairs: Any, words: bool) -> tuple[list, list | None]:
    texts = _as_list(texts, words)
    pairs = None if pairs is None else _as_list(pairs, words)
    if pairs is not None and len(pairs) != len(texts):
        raise InputError(
            f"Expected as many text_pairs as texts, received {len(texts)} texts and "
            f"{len(pairs)} pairs."
        )
    return texts, pairs


def _as_list(texts: Any, words: bool) -> list:
    """Wraps a single text: a string, or one list of words."""
    single = isinstance(texts, str)
    texts = [texts] if single else list(texts)
    is_string = {isinstance(text, str) for text in texts}
    if not words:
        if is_string - {True}:
            raise InputError(
                f"Expected strings, received {texts[0]!r:.60}; lists of words need "
                "is_split_into_words=True."
            )
        return texts
    if single or len(is_string) > 1:
        raise InputError("is_split_into_words=True expects lists of words.")
    return [texts] if is_string == {True} else texts


def _width(padding: bool | str, max_length: int) -> int | None:
    if isinstance(padding, str):
        choose("padding", padding, ("longest", "max_length"))
    return {False: None, "max_length": max_length}.get(padding, 0)


def _find_vocab(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise MissingFileError(
            f"Expected a tokenizer directory or a vocab.txt at {path}, found nothing."
        )
    for name in (VOCAB_FILE, FAST_FILE):
        if (path / name).is_file():
            return path / name
    raise MissingFileError(
        f"Expected {VOCAB_FILE} or {FAST_FILE} in {path}, found neither. Copy the "
        "vocabulary the model was trained with into it."
    )


def _read_settings(folder: Path) -> dict[str, Any]:
    """Reads what `tokenizer_config.json` says that the constructor takes."""
    file = folder / CONFIG_FILE
    if not file.is_file():
        return {}
    try:
        stored = json.loads(file.read_text("utf-8"))
        items = stored.items()
    except (ValueError, AttributeError) as error:
        raise InputError(f"Expected a JSON object in {file}: {error}.") from error
    names = {*WordRules._fields, *SPECIAL_TOKENS, "model_max_length"}
    settings = {key: _content(value) for key, value in items if key in names}
    return {k: v for k, v in settings.items() if v is not None or k == "strip_accents"}


def _content(value: Any) -> Any:
    """A special token is stored as a string, or as an object with its content."""
    return value.get("content") if isinstance(value, dict) else value


def _lines_of(source: str | Path | Iterable[str | Path]) -> Iterator[str]:
    if is_list_of_files(source):
        return read_lines(source)
    return iter(cast(Iterable[str], source))


def refuse_existing(files: Iterable[Path], overwrite: bool) -> None:
    existing = [file for file in files if file.exists()]
    if existing and not overwrite:
        raise ExistingOutputError(
            f"{existing[0]} exists already; choose another place or pass "
            "overwrite=True (--overwrite)."
        )


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _write_whole(file: Path, text: str) -> None:
    partial = file.with_name(file.name + ".partial")
    partial.write_text(text, "utf-8", newline="\n")
    os.replace(partial, file)
