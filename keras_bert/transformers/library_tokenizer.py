"""Tokenizers of any algorithm, as a `tokenizer.json` describes them."""

import json
from abc import ABCMeta
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Self

from tokenizers import AddedToken as LibraryToken
from tokenizers import Tokenizer, pre_tokenizers, trainers

from keras_bert.errors import InputError, KerasBertError, MissingFileError
from keras_bert.tokenizer_folder import (
    CONFIG_FILE,
    FAST_FILE,
    SPECIAL_TOKENS,
    AddedToken,
    tokens_by_id,
)
from keras_bert.tokenizer_folder.added import SpecialTokens, stored_tokens
from keras_bert.tokenizer_folder.vocabulary import read_fast, read_object
from keras_bert.transformers.lengths import Options
from keras_bert.transformers.special_tokens import EXTRA, NAMED
from keras_bert.transformers.tokenizer_base import (
    PreTrainedTokenizerBase,
    Settings,
    limit,
)

_SETTINGS = {
    *("add_prefix_space", "trim_offsets"),
    *("model_max_length", "split_special_tokens", "added_tokens"),
}
_TRAINERS: dict[str, Callable[..., Any]] = {
    "BPE": trainers.BpeTrainer,
    "Unigram": trainers.UnigramTrainer,
    "WordLevel": trainers.WordLevelTrainer,
    "WordPiece": trainers.WordPieceTrainer,
}


class PreTrainedTokenizerFast(PreTrainedTokenizerBase, metaclass=ABCMeta):
    """A tokenizer of any algorithm, with the options and results of `transformers`.

    Args:
        vocab_file: see the class of an algorithm; this one has none.
        merges_file: likewise.
        tokenizer_file: path of a `tokenizer.json`, instead.
        tokenizer_object: a `tokenizers.Tokenizer`, instead; it is copied.
        **settings: the special tokens by name (`cls_token`, `mask_token`, …), which are
            added where the vocabulary lacks them, `additional_special_tokens`,
            `added_tokens`; `add_prefix_space` (begin every text with a space),
            `trim_offsets` (places in the text do not include spaces),
            `model_max_length`, `padding_side`, `truncation_side`, `model_input_names`,
            `clean_up_tokenization_spaces`, `split_special_tokens`, `verbose`. Others
            have no effect but a warning.

    Raises:
        MissingFileError: there is no such file.
        InputError: a file is invalid, or has another algorithm.

    Example:
        >>> from tokenizers import Tokenizer, models
        >>> model = models.WordLevel({"<unk>": 0, "cat": 1}, "<unk>")
        >>> tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model))
        >>> tokenizer("cat")["input_ids"]
        [1]
    """

    vocab_files_names: ClassVar[Mapping[str, str]] = {"tokenizer_file": FAST_FILE}
    # The kind of model in tokenizer.json; None takes any.
    _kind: ClassVar[str | None] = None
    _named_tokens: ClassVar[Mapping[str, Any]] = {}
    # Whether the mask, written as a string, takes the spaces on its left with it.
    _mask_strips: ClassVar = False
    # Arguments that are attributes of parts of the library, and of which parts.
    _switches: ClassVar[Mapping[str, bool]] = {"add_prefix_space": False}
    _switched: ClassVar = ("pre_tokenizer",)

    def __init__(
        self,
        vocab_file: Any = None,
        merges_file: Any = None,
        *,
        tokenizer_file: str | Path | None = None,
        tokenizer_object: Tokenizer | None = None,
        **settings: Any,
    ) -> None:
        if tokenizer_object is not None:
            library = Tokenizer.from_str(tokenizer_object.to_str())
        elif tokenizer_file is not None:
            library = self._loaded(Path(tokenizer_file))
        else:
            library = self._made(vocab_file, merges_file)
        cleaned = {"clean_up_tokenization_spaces": False}
        others, own, names = Settings.of(cleaned | settings, _SETTINGS)
        self.__dict__.update(own)
        names = {**self._named_tokens, **names}
        vocab = library.get_vocab(with_added_tokens=False)
        tokens = tokens_by_id({"vocab": vocab}, Path(FAST_FILE)) if vocab else []
        super().__init__(tokens, dict.fromkeys(SPECIAL_TOKENS, ""))
        self.model_max_length = limit(others.get("model_max_length"))
        self.split_special_tokens = bool(others.get("split_special_tokens"))
        self._library = library
        self._begin(names, others.get("added_tokens", ()))
        for name, default in self._switches.items():
            setattr(self, name, bool(others.get(name, default)))
        self._frame()
        self._switch(self._switched_to())

    @classmethod
    def from_pretrained(cls, path: str | Path, *inputs: Any, **overrides: Any) -> Self:
        """Loads a tokenizer; see `PreTrainedTokenizerBase.from_pretrained`."""
        with library_errors(f"the files of a tokenizer of transformers at {path}"):
            return super().from_pretrained(path, *inputs, **overrides)

    @classmethod
    def _made(cls, vocab_file: Any, merges_file: Any) -> Tokenizer:
        """Returns a tokenizer made of the files of an algorithm."""
        raise InputError(
            f"Expected tokenizer_file, the path of a {FAST_FILE}, or tokenizer_object. "
            "Received: neither. To load a folder, write from_pretrained(folder)."
        )

    @classmethod
    def _loaded(cls, file: Path) -> Tokenizer:
        """Returns the tokenizer in a `tokenizer.json`."""
        kind = (
            read_fast(existing(file, FAST_FILE)).get("model", {}).get("type", cls._kind)
        )
        if cls._kind not in (None, kind):
            raise InputError(
                f"Expected the model {cls._kind} of {cls.__name__} in {file}. "
                f"Received: {kind}. Write AutoTokenizer.from_pretrained."
            )
        with library_errors(f"a tokenizer of the library tokenizers in {file}"):
            return Tokenizer.from_file(str(file))

    def _begin(self, names: Mapping[str, Any], added: Iterable[Any]) -> None:
        """Adds and names the tokens of the library, of files, and of arguments."""
        own = self._library.get_added_tokens_decoder()
        listed = [AddedToken.of(t) for t in (*map(own.get, sorted(own)), *added)]
        found = {token.content: token for token in listed}
        extra = [AddedToken.of(t, special=True) for t in names.get(EXTRA, ())]
        named = {k: self._token(k, names[k]) for k in NAMED if names.get(k)}
        for token in (*named.values(), *extra):
            there = found.setdefault(token.content, token)
            found[token.content] = there._replace(special=True)
        self._add(found.values())
        for name, token in named.items():
            self._name(name, token.content)

    def _token(self, name: str, value: Any) -> AddedToken:
        token = AddedToken.of(value, special=True)
        strips = name == "mask_token" and isinstance(value, str) and self._mask_strips
        return token._replace(lstrip=True) if strips else token

    def _frame(self) -> None:
        """Puts special tokens around texts, where the library does not yet."""

    def _switched_to(self) -> dict[str, bool]:
        return {name: getattr(self, name) for name in self._switches}

    def _switch(self, values: Mapping[str, bool]) -> None:
        """Sets attributes of those parts of the library that have them."""
        for part in (getattr(self._library, name) for name in self._switched):
            for name, value in values.items():
                if hasattr(part, name):
                    setattr(part, name, value)

    @classmethod
    def _from_files(cls, place: Path) -> dict[str, Any]:
        folder = place if place.is_dir() else place.parent
        config = read_object(folder / CONFIG_FILE)
        found = SpecialTokens(config, folder)
        listed = stored_tokens(found, {}, False, folder)
        known = (*_SETTINGS, "padding_side", "truncation_side")
        return {
            **cls._files_in(folder),
            **{name: config[name] for name in known if config.get(name) is not None},
            **{name: _as_written(token) for name, token in found.named.items()},
            EXTRA: list(found.extra.values()),
            "added_tokens": list(listed.values()),
        }

    @classmethod
    def _files_in(cls, folder: Path) -> dict[str, Path]:
        """Returns the arguments of the constructor that are paths."""
        files = {k: folder / name for k, name in cls.vocab_files_names.items()}
        fast = files.pop("tokenizer_file")
        if fast.is_file():
            return {"tokenizer_file": fast}
        if not files or not all(file.is_file() for file in files.values()):
            others = f", or {' and '.join(f.name for f in files.values())}"
            raise MissingFileError(
                f"Expected {FAST_FILE}{others if files else ''} in {folder}. Found "
                "neither. Copy the tokenizer that the model was trained with into it."
            )
        return files

    def __reduce__(self) -> tuple:
        kept = {
            **self._own(),
            **self._switched_to(),
            **self._named,
            "model_max_length": self.model_max_length,
            "split_special_tokens": self.split_special_tokens,
        }
        return partial(type(self), tokenizer_object=self._library, **kept), ()

    # === Vocabulary ===

    def _add(self, tokens: Iterable[AddedToken]) -> int:
        tokens = list(tokens)
        changed = super()._add(tokens)
        self._library.add_tokens([LibraryToken(**t._asdict()) for t in tokens])
        return changed

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The tokenizer of the library."""
        return self._library

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Returns how many special tokens are put around one text, or two."""
        return self._library.num_special_tokens_to_add(pair)

    def text_to_ids(self, text: str) -> list[int]:
        """Returns the ids of a text, without special tokens."""
        return self._encode_one(text, None, Options(False))["input_ids"]

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[Any],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: Iterable[Any] | None = None,
        **trainer: Any,
    ) -> Self:
        """Returns a tokenizer of this algorithm with a vocabulary learned from text.

        Args:
            text_iterator: texts, or lists of texts.
            vocab_size: the most tokens.
            length: the number of texts, for a progress bar.
            new_special_tokens: added to the special tokens that there are.
            **trainer: arguments of the trainer of the library.
        """
        state = json.loads(self._saved())
        kind, processor = state["model"]["type"], state["post_processor"]
        state |= {"added_tokens": [], "post_processor": None}
        unknown = self.special_tokens["unk_token"]
        state["model"] |= _emptied(kind, unknown)
        library = Tokenizer.from_str(json.dumps(state))
        new = [AddedToken.of(t, special=True) for t in new_special_tokens or ()]
        special = [t for t in self.added_tokens if t.special] + new
        trainer["special_tokens"] = [LibraryToken(**t._asdict()) for t in special]
        trainer = _TRAINED_WITH.get(kind, dict)(unknown) | trainer
        made = _TRAINERS[kind](vocab_size=vocab_size, show_progress=False, **trainer)
        batches = ([t] if isinstance(t, str) else t for t in text_iterator)
        library.train_from_iterator(chain.from_iterable(batches), made, length)
        state = json.loads(library.to_str())
        state["post_processor"] = _renumbered(processor, library.token_to_id)
        kept = self.__reduce__()[0].keywords | {EXTRA: new}
        kept["tokenizer_object"] = Tokenizer.from_str(json.dumps(state))
        return type(self)(**kept)

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        """Refuses what other parts of this package ask of a tokenizer."""
        raise InputError(
            "Expected a WordPiece tokenizer, a keras_bert.BertTokenizer. Received: "
            f"{type(self).__name__}, which only keras_bert.transformers has. Tokenize "
            "with it, and give ids: model(tokenizer(texts, return_tensors='tf')), or "
            "a SavedModel of ids (tokenizer=None, --ids-only)."
        )

    encode_batch = texts_to_ids = settings = _refuse

    # === Files ===

    def _file_texts(self) -> dict[str, str]:
        added = {str(i): t._asdict() for t, i in self.added_tokens.items()}
        config = {
            **self._switched_to(),
            **self.special_tokens_map,
            "model_max_length": self.model_max_length,
            "clean_up_tokenization_spaces": self.clean_up_tokenization_spaces,
            "added_tokens_decoder": added,
            "tokenizer_class": type(self).__name__,
        }
        if self.split_special_tokens:
            config["split_special_tokens"] = True
        text = json.dumps(config, ensure_ascii=False, indent=2)
        fast = self._saved()
        return {CONFIG_FILE: f"{text}\n", **self._vocabulary(fast), FAST_FILE: fast}

    def save_vocabulary(
        self, save_directory: str | Path, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Writes the vocabulary, and replaces files of these names.

        Args:
            save_directory: created if necessary.
            filename_prefix: begins the names of the files, with "-".

        Returns:
            The paths of the files.

        Raises:
            InputError: the algorithm has no such files.
        """
        texts = self._vocabulary(self._saved())
        if not texts:
            raise InputError(
                f"Expected a tokenizer with files of a vocabulary. Received: "
                f"{type(self).__name__}, whose vocabulary is in {FAST_FILE}. Write "
                "save_pretrained."
            )
        return self._write(Path(save_directory), texts, filename_prefix)

    def _vocabulary(self, fast: str) -> dict[str, str]:
        """Returns the files of the algorithm, next to a `tokenizer.json`."""
        return {}

    def _saved(self) -> str:
        library = self.backend_tokenizer
        library.no_padding()  # of the last call
        library.no_truncation()
        return library.to_str(pretty=True)


def existing(file: Path, name: str) -> Path:
    """Returns the path of a file; raises if there is none."""
    if not file.is_file():
        raise MissingFileError(f"Expected a {name} at {file}, found nothing.")
    return file


def _as_written(token: AddedToken) -> Any:
    """Returns a token that has no flags as its string."""
    plain = token == AddedToken.of(token.content, special=True)
    return token.content if plain else token


@contextmanager
def library_errors(expected: str) -> Iterator[None]:
    """Says what was expected where the library raises its own errors."""
    try:
        yield
    except (KerasBertError, OSError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library's panics are no Exceptions
        received = " ".join(str(error).split())[:200]
        raise InputError(f"Expected {expected}. Received: {received}.") from error


def _emptied(kind: str, unknown: str) -> dict[str, Any]:
    """Returns what a model of `tokenizer.json` has in place of a vocabulary."""
    if kind == "Unigram":
        return {"vocab": [[unknown, 0.0]], "unk_id": 0}
    return {"vocab": {}, **({"merges": []} if kind == "BPE" else {})}


# What trainers must be told.
_TRAINED_WITH: dict[str, Callable[[str], dict[str, Any]]] = {
    "BPE": lambda _: {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet()},
    "Unigram": lambda unknown: {"unk_token": unknown},
}


def _renumbered(processor: Any, id_of: Callable[[str], int | None]) -> Any:
    """Returns a post-processor of `tokenizer.json` with the ids of a vocabulary."""
    if processor is None:
        return None
    pairs = {k: v[0] for k, v in processor.items() if k in ("cls", "sep")}
    pairs = {k: [token, id_of(token)] for k, token in pairs.items()}
    template = {
        name: {**token, "ids": [id_of(t) for t in token["tokens"]]}
        for name, token in processor.get("special_tokens", {}).items()
    }
    return processor | pairs | ({"special_tokens": template} if template else {})
