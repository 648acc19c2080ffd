"""The tokenizers of WordPiece: this package's `BertTokenizer`, called as another's.

They are taken wherever a `keras_bert.BertTokenizer` is; only what they return, and
their options, are those of `transformers`.
"""

import json
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Self

from tokenizers import Tokenizer, decoders, processors

from keras_bert.errors import InputError
from keras_bert.tokenization import BertTokenizer
from keras_bert.tokenizer_folder import (
    CONFIG_FILE,
    DEFAULTS,
    FAST_FILE,
    NO_LIMIT,
    SPECIAL_TOKENS,
    VOCAB_FILE,
    TokenizerFolder,
    fast_text,
    folder_texts,
    read_folder,
    vocabulary_text,
)
from keras_bert.transformers.special_tokens import NamedTokens
from keras_bert.transformers.tokenizer_base import (
    PreTrainedTokenizerBase,
    Settings,
    limit,
)

_SETTINGS = {*DEFAULTS, "added_tokens"} - SPECIAL_TOKENS.keys()


class WordPieceTokenizer(PreTrainedTokenizerBase, BertTokenizer):
    """A WordPiece tokenizer with the options and results of `transformers`.

    Args:
        vocab_file: path of a `vocab.txt`, or the tokens in the order of their ids.
        do_lower_case: lower-case the text and strip accents; by default True.
        tokenizer_file: path of a `tokenizer.json`, instead of `vocab_file`.
        **settings: other arguments of `keras_bert.BertTokenizer`, of which
            `model_max_length` is by default no limit, and of `transformers`:
            `padding_side`, `truncation_side`, `model_input_names`,
            `clean_up_tokenization_spaces` (leave out spaces before punctuation when
            decoding), `additional_special_tokens`, `verbose`. Others have no effect
            but a warning.

    Raises:
        MissingFileError: there is no such file.
        InputError: there is no vocabulary, or a setting cannot be had.

    Example:
        >>> from keras_bert.transformers import BertTokenizerFast
        >>> vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "run", "##ning"]
        >>> tokenizer = BertTokenizerFast(vocab)
        >>> tokenizer("Running")["input_ids"]
        [2, 4, 5, 3]
    """

    vocab_files_names: ClassVar = {
        "vocab_file": VOCAB_FILE,
        "tokenizer_file": FAST_FILE,
    }
    _built: Tokenizer | None = None

    def __init__(
        self,
        vocab_file: str | Path | Sequence[str] | None = None,
        do_lower_case: bool | None = None,
        *,
        tokenizer_file: str | Path | None = None,
        **settings: Any,
    ) -> None:
        if tokenizer_file is not None:
            found = read_folder(Path(tokenizer_file))
            vocab_file, settings = found.tokens, found.settings | settings
        if vocab_file is None:
            raise InputError(
                "Expected vocab_file, the path of a vocab.txt. Received: None. To load "
                "a folder, write from_pretrained(folder)."
            )
        if settings.get("google_rules"):
            raise InputError(
                "Expected the rules of transformers. Received: google_rules=True, "
                "which its tokenizers do not have. Use keras_bert.BertTokenizer."
            )
        others, own, names = Settings.of(settings, _SETTINGS)
        self.__dict__.update(own)
        if do_lower_case is not None:
            others["do_lower_case"] = do_lower_case
        known = {k: str(names.pop(k)) for k in SPECIAL_TOKENS if k in names}
        length = others.pop("model_max_length", None)
        super().__init__(vocab_file, **others, **known)
        self.model_max_length = limit(length)
        if names:
            self.add_special_tokens(names)

    @classmethod
    def _from_files(cls, place: Path) -> dict[str, Any]:
        found = read_folder(place)
        folder = place if place.is_dir() else place.parent
        # A fast class of transformers takes it from tokenizer.json, which lacks it.
        fast = cls._fast and (folder / FAST_FILE).is_file()
        cleaned = {"clean_up_tokenization_spaces": not fast}
        return {"vocab_file": found.tokens, **cleaned, **found.settings}

    def __reduce__(self) -> tuple:
        kept = super().settings() | self._own() | self._others
        return partial(type(self), self.base_tokens, **kept), ()

    def settings(self) -> dict[str, Any]:
        length = min(self.model_max_length, NO_LIMIT)
        return super().settings() | {"model_max_length": length}

    def train_new_from_iterator(
        self, text_iterator: Iterable[Any], vocab_size: int, **trainer: Any
    ) -> Self:
        """Returns a tokenizer of these rules with a vocabulary learned from text.

        Args:
            text_iterator: texts, or lists of texts.
            vocab_size: the most tokens.
            **trainer: see `train`; `length` has no effect.
        """
        trainer.pop("length", None)
        batches = ([t] if isinstance(t, str) else t for t in text_iterator)
        rules = self.rules
        return type(self).train(
            chain.from_iterable(batches),
            vocab_size,
            rules.do_lower_case,
            strip_accents=rules.strip_accents,
            tokenize_chinese_chars=rules.tokenize_chinese_chars,
            model_max_length=self.model_max_length,
            **trainer,
        )

    def _add(self, tokens: Iterable[Any]) -> int:
        self._built = None
        return super()._add(tokens)

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The tokenizer of the library; what is changed in it, this one ignores."""
        if self._built is None:
            self._built = _library(self)
            # A fast class leaves out spaces before punctuation, whatever it is told.
            self._built.decoder = decoders.WordPiece(
                self.continuing_subword_prefix, cleanup=self._fast
            )
        return self._built

    @property
    def do_lower_case(self) -> bool:
        """Whether text is lower-cased."""
        return self.rules.do_lower_case

    def _file_texts(self) -> dict[str, str]:
        kept = super().settings() | {"model_max_length": self.model_max_length}
        texts = folder_texts(TokenizerFolder(self.base_tokens, kept))
        stored = {
            "clean_up_tokenization_spaces": self.clean_up_tokenization_spaces,
            **self._others,
        }
        config = json.loads(texts[CONFIG_FILE])
        if config["tokenizer_class"] == "BertTokenizer":  # of a kind with this
            stored["tokenizer_class"] = type(self).__name__.removesuffix("Fast")
        config = json.dumps(config | stored, ensure_ascii=False, indent=2)
        texts[CONFIG_FILE] = f"{config}\n"
        return texts

    def save_vocabulary(
        self, save_directory: str | Path, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Writes `vocab.txt`, and replaces a file of this name.

        Args:
            save_directory: created if necessary.
            filename_prefix: begins the name of the file, with "-".

        Returns:
            The path of the file, in a tuple.
        """
        texts = {VOCAB_FILE: vocabulary_text(self.tokens)}
        return self._write(Path(save_directory), texts, filename_prefix)


def _library(tokenizer: NamedTokens) -> Tokenizer:
    """Returns the tokenizer of the library."""
    tokens = tokenizer.base_tokens
    vocab = {token: index for index, token in enumerate(tokens)}
    settings = DEFAULTS | tokenizer.settings()
    library = Tokenizer.from_str(fast_text(vocab, settings, tokenizer.added_tokens))
    cls, sep = (tokenizer.special_tokens[k] for k in ("cls_token", "sep_token"))
    # As BertProcessing; it tells the texts of a pair apart also in what overflows.
    library.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(token, tokenizer.vocab[token]) for token in (cls, sep)],
    )
    return library
