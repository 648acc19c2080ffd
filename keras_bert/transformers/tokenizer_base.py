"""What all tokenizers of the room have: the calls and results of `transformers`.

`tokenizers`, the library that `transformers` stands on, encodes: it alone knows words
and places in the text.
"""

import logging
import warnings
from abc import abstractmethod
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from tokenizers import AddedToken, Encoding, Tokenizer

from keras_bert.errors import InputError, choose
from keras_bert.tokenization.encoding import as_lists
from keras_bert.tokenizer_folder import CONFIG_FILE, NO_LIMIT, write_files
from keras_bert.tokenizer_folder.vocabulary import read_object
from keras_bert.transformers.batch_encoding import BatchEncoding
from keras_bert.transformers.lengths import Lengths, Options
from keras_bert.transformers.names import located
from keras_bert.transformers.preparation import COLUMNS, IdPreparation
from keras_bert.transformers.rows import received
from keras_bert.transformers.special_tokens import EXTRA, NAMED
from keras_bert.transformers.utils import PaddingStrategy, to_py_obj

log = logging.getLogger(__name__)

UNLIMITED = int(1e30)  # what transformers has for no model_max_length
FILES = ("*.json", "*.txt", "*.model")
_SIDES = ("right", "left")
# Arguments that this package's own tokenizer has not, and their defaults.
_OWN: dict[str, Any] = {
    "padding_side": "right",
    "truncation_side": "right",
    "clean_up_tokenization_spaces": True,
    "model_input_names": None,
    "name_or_path": "",
    "verbose": True,
}
# Those of transformers that have no effect, there either, and what asks nothing.
_UNUSED = {
    "do_basic_tokenize": (True, None),
    "never_split": (None, [], ()),
    "errors": ("replace", None),
}
_RENAMED = {
    "max_len": "model_max_length",
    "wordpieces_prefix": "continuing_subword_prefix",
}
# What is read of tokenizer_config.json, next to what every tokenizer here reads.
_STORED = (
    "bos_token",
    "eos_token",
    "clean_up_tokenization_spaces",
    "model_input_names",
)


class Settings(NamedTuple):
    """The arguments of a constructor, sorted out.

    Attributes:
        others: those that not all tokenizers have.
        own: attributes of every tokenizer of the room.
        names: the named special tokens, and a list of others.
    """

    others: dict[str, Any]
    own: dict[str, Any]
    names: dict[str, Any]

    @classmethod
    def of(cls, given: Mapping[str, Any], known: Container[str]) -> Self:
        """Sorts out arguments; those that are unknown have no effect but a warning.

        Args:
            given: the arguments.
            known: the names of `others`.

        Raises:
            UnknownNameError: there is no such side.
        """
        others = {_RENAMED.get(name, name): value for name, value in given.items()}
        own = {name: others.pop(name, default) for name, default in _OWN.items()}
        if own["model_input_names"] is None:
            del own["model_input_names"]
        for name in ("padding_side", "truncation_side"):
            choose(name, own[name], _SIDES)
        names = {k: others.pop(k) for k in (*NAMED, EXTRA) if others.get(k) is not None}
        for name in [name for name in others if name not in known]:
            value = others.pop(name)
            if name not in _UNUSED or value not in _UNUSED[name]:
                log.warning("%s=%r has no effect on a tokenizer.", name, value)
        return cls(others, own, names)


def limit(length: int | float | None) -> int:
    """Returns a `model_max_length`; what is too large is no limit."""
    return UNLIMITED if length is None or length >= NO_LIMIT else int(length)


class PreTrainedTokenizerBase(IdPreparation):
    """A tokenizer with the options and results of `transformers`.

    Calls take the options of `keras_bert.transformers.lengths.Options`, by name or in
    their order.

    Source: the classes of these names in `transformers` 4.57.
    """

    is_fast = True
    # Those called Fast take a list of two strings for a pair; the others take a list
    # for tokens.
    _fast: ClassVar = True

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, *inputs: Any, **overrides: Any
    ) -> Self:
        """Loads a tokenizer.

        Args:
            pretrained_model_name_or_path: a directory, a vocabulary file, or a name on
                the Hugging Face Hub, with or without `hf://`.
            *inputs: none.
            **overrides: arguments of the constructor, instead of the stored ones; and
                those that say how to find files: `cache_dir`, `revision`, `token`,
                `local_files_only`.

        Returns:
            The tokenizer.

        Raises:
            MissingFileError: there is no vocabulary.
            InputError: a file is invalid, or asks for what this package does not
                have.
            CheckpointError: the Hub cannot be reached, or has no such name.
        """
        if inputs:
            raise InputError(f"Expected one path. Received also: {inputs!r:.60}.")
        path = str(pretrained_model_name_or_path)
        place = located(path, overrides, FILES)
        folder = place if place.is_dir() else place.parent
        config = read_object(folder / CONFIG_FILE)
        stored = {k: config[k] for k in _STORED if config.get(k) is not None}
        stored = {"name_or_path": path, **cls._from_files(place), **stored}
        return cls(**stored | overrides)

    @classmethod
    @abstractmethod
    def _from_files(cls, place: Path) -> dict[str, Any]:
        """Returns the arguments of the constructor that files hold."""

    @property
    @abstractmethod
    def backend_tokenizer(self) -> Tokenizer:
        """The tokenizer of the library; what is changed in it, this one ignores."""

    def _own(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _OWN}

    @abstractmethod
    def _file_texts(self) -> dict[str, str]:
        """Returns the contents of the files by their names."""

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, "
            f"vocab_size={self.vocab_size}, model_max_length={self.model_max_length}, "
            f"is_fast={self.is_fast}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, "
            f"special_tokens={self.special_tokens_map})"
        )

    # === Vocabulary ===

    @property
    def vocab_size(self) -> int:
        """The number of tokens without those added; `len(tokenizer)` counts all."""
        return len(set(self.base_tokens))

    @property
    def ids_to_tokens(self) -> dict[int, str]:
        """The tokens by id."""
        return dict(enumerate(self.tokens))

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by id."""
        return self.backend_tokenizer.get_added_tokens_decoder()

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The ids of added tokens."""
        return {token.content: index for token, index in self.added_tokens.items()}

    def get_added_vocab(self) -> dict[str, int]:
        """Returns the ids of added tokens."""
        return self.added_tokens_encoder

    def get_vocab(self) -> dict[str, int]:
        """Returns the ids of all tokens."""
        return dict(self.vocab)

    @property
    def max_len(self) -> int:
        """The old name of `model_max_length`."""
        warnings.warn("max_len: write model_max_length.", FutureWarning, stacklevel=2)
        return self.model_max_length

    @property
    def max_len_single_sentence(self) -> int:
        """The tokens that a text may have."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        """The tokens that the two texts of a pair may have."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def convert_ids_to_tokens(
        self, ids: int | Iterable[int], skip_special_tokens: bool = False
    ) -> Any:
        """Returns the token of an id, or of each.

        Args:
            ids: one, or several.
            skip_special_tokens: leave out special tokens.

        Raises:
            UnknownNameError: an id is outside the vocabulary.
        """
        found = super().convert_ids_to_tokens(to_py_obj(ids))
        if isinstance(found, str) or not skip_special_tokens:
            return found
        special = set(self.all_special_tokens)
        return [token for token in found if token not in special]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Joins tokens to a text."""
        return self.backend_tokenizer.decoder.decode(list(tokens))

    # === Text to ids ===

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        text_target: Any = None,
        text_pair_target: Any = None,
        *values: Any,
        **options: Any,
    ) -> BatchEncoding:
        """Encodes texts, or pairs of texts.

        Args:
            text: a text, or a list of texts, or of pairs as tuples. A text is a string,
                or with `is_split_into_words` a list of words.
            text_pair: the second texts, as many.
            text_target: texts whose ids are returned as `labels`.
            text_pair_target: the second texts of those.
            *values: options in their order.
            **options: options by name, see `Options`.

        Returns:
            Lists of a row for one text, of rows for a list; tensors if
            `return_tensors` says so.

        Raises:
            InputError: a text is none, or the options contradict each other.
            UnknownNameError: there is no such option.
        """
        chosen = Options.of(*values, **options)
        if text is None and text_target is None:
            raise InputError("Expected text or text_target. Received: neither.")
        if text_target is None:
            return self._encode_any(text, text_pair, chosen)
        targets = self._encode_any(text_target, text_pair_target, chosen)
        if text is None:
            return targets
        found = self._encode_any(text, text_pair, chosen)
        found["labels"] = targets["input_ids"]
        return found

    def encode(
        self, text: Any, text_pair: Any = None, *values: Any, **options: Any
    ) -> Any:
        """Returns the ids of one text, or pair; see `encode_plus`."""
        return self.encode_plus(text, text_pair, *values, **options)["input_ids"]

    def encode_plus(
        self, text: Any, text_pair: Any = None, *values: Any, **options: Any
    ) -> BatchEncoding:
        """Encodes one text, or pair.

        Args:
            text: a string; words, if they are said to be; or a list of tokens or ids.
            text_pair: the second text.
            *values: options in their order.
            **options: options by name, see `Options`.

        Returns:
            Lists, or tensors of one row.
        """
        chosen = Options.of(*values, **options)
        tokens = isinstance(text, list | tuple) and not chosen.is_split_into_words
        if tokens and not (self._fast and isinstance(next(iter(text), 0), str)):
            pair = None if text_pair is None else self._ids_of(text_pair)
            return self._prepare(self._ids_of(text), pair, chosen)
        return self._encode_one(text, text_pair, chosen)

    def batch_encode_plus(
        self, batch_text_or_text_pairs: Any, *values: Any, **options: Any
    ) -> BatchEncoding:
        """Encodes texts, or pairs as tuples.

        Args:
            batch_text_or_text_pairs: a list of them, or an array or a column.
            *values: options in their order.
            **options: options by name, see `Options`.

        Returns:
            Lists of rows, or tensors.
        """
        batch = batch_text_or_text_pairs
        # Scripts give columns of tables, which slow classes of transformers take here.
        batch = batch.tolist() if hasattr(batch, "tolist") else batch
        if not isinstance(batch, list | tuple):
            raise InputError(f"Expected a list of texts. {received(batch)}")
        return self._encode_batch(batch, Options.of(*values, **options))

    def tokenize(
        self,
        text: str,
        pair: str | None = None,
        add_special_tokens: bool = False,
        **options: Any,
    ) -> list[str]:
        """Returns the tokens of a text, or pair.

        Args:
            text: the text.
            pair: the second text.
            add_special_tokens: add [CLS] and [SEP].
            **options: options by name, see `Options`.
        """
        chosen = Options.of(add_special_tokens, **options)
        return self._encode_one(text, pair, chosen).tokens()

    def _encode_any(self, text: Any, pair: Any, options: Options) -> BatchEncoding:
        for value in (text, pair):
            if value is not None and not _is_text(value):
                raise InputError(
                    "Expected a string, a list of strings, or lists of words with "
                    f"is_split_into_words=True. {received(value)} Of an array or a "
                    "column of a table, give its list()."
                )
        batch = isinstance(text, list | tuple)
        if options.is_split_into_words:
            batch = batch and bool(text) and isinstance(text[0], list | tuple)
        if not batch:
            return self._encode_one(text, pair, options)
        if pair is None:
            return self._encode_batch(text, options)
        if isinstance(pair, str) or len(pair) != len(text):
            raise InputError(
                f"Expected as many second texts as texts, {len(text)}. Received: "
                f"{'one string' if isinstance(pair, str) else len(pair)}."
            )
        return self._encode_batch(list(zip(text, pair, strict=True)), options)

    def _encode_one(self, text: Any, pair: Any, options: Options) -> BatchEncoding:
        found = self._encode_batch([(text, pair) if pair else text], options)
        if options.return_tensors is not None or options.return_overflowing_tokens:
            return found
        rows = {k: v[0] if isinstance(v[0], list) else v for k, v in found.items()}
        return BatchEncoding(rows, found.encodings)

    def _encode_batch(self, batch: Sequence[Any], options: Options) -> BatchEncoding:
        lengths = self._lengths(options)
        rows: list[Encoding] = []
        samples: list[int] = []
        for sample, encoding in enumerate(
            self._library_encode(batch, options, lengths)
        ):
            more = encoding.overflowing if options.return_overflowing_tokens else ()
            rows += [encoding, *more]
            samples += [sample] * (1 + len(more))
        data: dict[str, Any] = {
            name: [COLUMNS[name][1](row) for row in rows]
            for name in self._returned(options)
        }
        if options.return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = samples
        self._warn_of_length(max(map(len, rows), default=0), lengths, options)
        return BatchEncoding(data, rows, options.return_tensors)

    def _library_encode(
        self, batch: Sequence[Any], options: Options, lengths: Lengths
    ) -> list[Encoding]:
        library, words = self._library_for(options), options.is_split_into_words
        split = options.split_special_tokens
        split = self.split_special_tokens if split is None else split
        if lengths.truncates:
            self._check_room(bool(_texts_of(batch, words)[1]), options, lengths)
        try:
            self._set_lengths(library, options, lengths)
            library.encode_special_tokens = split
            return library.encode_batch(
                list(batch),
                add_special_tokens=options.add_special_tokens,
                is_pretokenized=words,
            )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the library's panics are no Exceptions
            for texts in _texts_of(batch, words):
                as_lists(texts, None, words)  # raises for the text at fault
            raise InputError(f"{error}. Received: {options.given()}.") from error

    def _library_for(self, options: Options) -> Tokenizer:
        """Returns the tokenizer of the library, set as a call asks."""
        return self.backend_tokenizer

    def _check_room(self, pairs: bool, options: Options, lengths: Lengths) -> None:
        """Raises for what the library does not truncate, or takes badly."""
        added = options.add_special_tokens * self.num_special_tokens_to_add(pairs)
        room = (lengths.max_length or 0) - added
        if room < 0 or 0 < room <= options.stride:
            raise InputError(
                f"Expected a max_length of more than {added} special tokens and the "
                f"stride. Received: max_length={lengths.max_length} and "
                f"stride={options.stride}."
            )

    def _set_lengths(
        self, library: Tokenizer, options: Options, lengths: Lengths
    ) -> None:
        library.no_truncation()
        library.no_padding()
        if lengths.truncates:
            library.enable_truncation(
                lengths.max_length,
                stride=options.stride,
                strategy=str(lengths.truncation),
                direction=self.truncation_side,
            )
        if lengths.pads:
            filled = lengths.padding is PaddingStrategy.MAX_LENGTH
            library.enable_padding(
                direction=options.padding_side or self.padding_side,
                pad_id=self.pad_token_id,
                pad_type_id=self.pad_token_type_id,
                pad_token=self.special_tokens["pad_token"],
                length=lengths.max_length if filled else None,
                pad_to_multiple_of=options.pad_to_multiple_of,
            )

    # === Ids to text ===

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Returns the text of ids.

        Args:
            token_ids: an id, or a list, array or tensor of ids; of several rows the
                texts are returned as a list.
            skip_special_tokens: leave out special tokens.
            clean_up_tokenization_spaces: leave out spaces before punctuation; None is
                the tokenizer's.
            **kwargs: have no effect.

        Raises:
            UnknownNameError: an id is outside the vocabulary.
        """
        ids = to_py_obj(token_ids)
        ids = [ids] if isinstance(ids, int) else ids
        if ids and isinstance(ids[0], list):
            options = skip_special_tokens, clean_up_tokenization_spaces
            return self.batch_decode(ids, *options)
        self.convert_ids_to_tokens(ids)  # raises for ids that the library leaves out
        text = self.backend_tokenizer.decode(ids, skip_special_tokens)
        clean = clean_up_tokenization_spaces
        clean = self.clean_up_tokenization_spaces if clean is None else clean
        return self.clean_up_tokenization(text) if clean else text

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Returns the texts of rows of ids; see `decode`."""
        options = skip_special_tokens, clean_up_tokenization_spaces
        return [self.decode(row, *options) for row in sequences]

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """Returns an English text without the spaces that tokenization left in it.

        Example:
            >>> PreTrainedTokenizerBase.clean_up_tokenization("I do n't , you ' re .")
            "I don't, you're."
        """
        for spaced, plain in _CLEANED:
            out_string = out_string.replace(spaced, plain)
        return out_string

    # === Files ===

    def save_pretrained(
        self,
        save_directory: str | Path,
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> tuple[str, ...]:
        """Writes `tokenizer_config.json`, `tokenizer.json` and the vocabulary.

        Files of these names are replaced, as by `transformers`; others are left alone.
        The sides of padding and truncation are not stored.

        Args:
            save_directory: created if necessary.
            legacy_format: has no effect: both forms are written.
            filename_prefix: begins the names of the files, with "-".
            push_to_hub: cannot be had.
            **kwargs: have no effect.

        Returns:
            The paths of the files.

        Raises:
            InputError: `push_to_hub` is asked for.
        """
        if push_to_hub:
            self.push_to_hub(str(save_directory))
        return self._write(Path(save_directory), self._file_texts(), filename_prefix)

    def _write(
        self, folder: Path, texts: Mapping[str, str], prefix: str | None
    ) -> tuple[str, ...]:
        begin = f"{prefix}-" if prefix else ""
        named = {f"{begin}{name}": text for name, text in texts.items()}
        return tuple(map(str, write_files(folder, named, overwrite=True)))

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> None:
        """Cannot be had.

        Raises:
            InputError: always, saying what to do.
        """
        raise InputError(
            f"This package does not upload. Save to a folder, then run "
            f"`hf upload {repo_id} FOLDER`."
        )


# What `clean_up_tokenization` replaces, in this order.
_CLEANED = (
    *((f" {mark}", mark) for mark in ".?!,"),
    (" ' ", "'"),
    *((f" {end}", end) for end in ("n't", "'m", "'s", "'ve", "'re")),
)


def _is_text(value: Any) -> bool:
    """Whether a value may be a text, texts, or lists of words, by its first item."""
    for _ in range(2):
        if isinstance(value, list | tuple):
            value = value[0] if value else ""
    return isinstance(value, str)


def _texts_of(batch: Sequence[Any], words: bool) -> list[list[Any]]:
    """Returns the texts of a batch, and the second texts, for messages."""
    depth = (lambda t: t and isinstance(t[0], list | tuple)) if words else bool
    pairs = [isinstance(t, list | tuple) and len(t) == 2 and depth(t) for t in batch]
    first = [t[0] if pair else t for t, pair in zip(batch, pairs, strict=True)]
    second = [t[1] for t, pair in zip(batch, pairs, strict=True) if pair]
    return [first, second]
