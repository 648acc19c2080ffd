"""The tokenizer classes of `transformers`, and which belongs to a checkpoint."""

from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from keras_bert.errors import InputError
from keras_bert.families import FAMILIES
from keras_bert.tokenization import BertTokenizer as NativeTokenizer
from keras_bert.tokenizer_folder import CONFIG_FILE, FAST_FILE
from keras_bert.tokenizer_folder.names import MODEL_FILE
from keras_bert.tokenizer_folder.vocabulary import read_fast, read_object
from keras_bert.transformers.byte_pairs import ByteLevelTokenizer
from keras_bert.transformers.library_tokenizer import PreTrainedTokenizerFast
from keras_bert.transformers.names import located
from keras_bert.transformers.tokenizer_base import FILES, PreTrainedTokenizerBase
from keras_bert.transformers.unigrams import SentencePieceTokenizer
from keras_bert.transformers.wordpieces import WordPieceTokenizer

__all__ = ["AddedToken", "PreTrainedTokenizerFast"]


class BertTokenizer(WordPieceTokenizer):
    """The tokenizer of BERT; what it says about places, the other one says too."""

    _fast = False


class BertTokenizerFast(WordPieceTokenizer):
    """The tokenizer of BERT."""


class DistilBertTokenizer(WordPieceTokenizer):
    """The tokenizer of DistilBERT, which takes no types of tokens."""

    model_input_names = ("input_ids", "attention_mask")
    _fast = False


class DistilBertTokenizerFast(WordPieceTokenizer):
    """The tokenizer of DistilBERT, which takes no types of tokens."""

    model_input_names = ("input_ids", "attention_mask")


class ElectraTokenizer(WordPieceTokenizer):
    """The tokenizer of ELECTRA."""

    _fast = False


class ElectraTokenizerFast(WordPieceTokenizer):
    """The tokenizer of ELECTRA."""


class RobertaTokenizer(ByteLevelTokenizer):
    """The tokenizer of RoBERTa; it puts a space before every word it is given."""

    _fast = False


class RobertaTokenizerFast(ByteLevelTokenizer):
    """The tokenizer of RoBERTa."""


class XLMRobertaTokenizer(SentencePieceTokenizer):
    """The tokenizer of XLM-RoBERTa."""

    _fast = False


class XLMRobertaTokenizerFast(SentencePieceTokenizer):
    """The tokenizer of XLM-RoBERTa."""


PreTrainedTokenizer = PreTrainedTokenizerBase
# Every tokenizer here does what those called Fast do.
PreTrainedTokenizerFast.register(WordPieceTokenizer)


def of(tokenizer: NativeTokenizer) -> PreTrainedTokenizerBase:
    """Returns a tokenizer of this package as `transformers` has it.

    Raises:
        InputError: it splits text by rules that those of `transformers` do not have.
    """
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        return tokenizer
    return BertTokenizerFast(tokenizer.base_tokens, **tokenizer.settings())


_CLASSES: dict[str, type[PreTrainedTokenizerBase]] = {
    cls.__name__: cls
    for cls in (
        *(BertTokenizer, BertTokenizerFast),
        *(DistilBertTokenizer, DistilBertTokenizerFast),
        *(ElectraTokenizer, ElectraTokenizerFast),
        *(RobertaTokenizer, RobertaTokenizerFast),
        *(XLMRobertaTokenizer, XLMRobertaTokenizerFast),
    )
}


class AutoTokenizer:
    """Loads the tokenizer of the class that belongs to a checkpoint."""

    def __init__(self) -> None:
        raise InputError("Write AutoTokenizer.from_pretrained(path).")

    @staticmethod
    def from_pretrained(
        pretrained_model_name_or_path: str | Path,
        *inputs: Any,
        use_fast: bool = True,
        **overrides: Any,
    ) -> PreTrainedTokenizerBase:
        """Loads a tokenizer.

        Args:
            pretrained_model_name_or_path: see `PreTrainedTokenizerBase`.
            *inputs: none.
            use_fast: return a class called Fast.
            **overrides: see `PreTrainedTokenizerBase.from_pretrained`.

        Returns:
            The tokenizer.

        Raises:
            InputError: it is none that this package has.
        """
        path = str(pretrained_model_name_or_path)
        found = located(path, overrides, FILES)
        folder = found if found.is_dir() else found.parent
        cls = _class_of(folder, "Fast" if use_fast else "")
        return cls.from_pretrained(found, *inputs, name_or_path=path, **overrides)


_GENERIC = ("PreTrainedTokenizer", "TokenizersBackend", "")


def _class_of(folder: Path, end: str) -> type[PreTrainedTokenizerBase]:
    """Returns the class that files name, or that belongs to the model or algorithm."""
    config = read_object(folder / MODEL_FILE)
    family = FAMILIES.get(str(config.get("model_type")))
    own = family.tokenizer_class if family else ""
    stored = read_object(folder / CONFIG_FILE).get("tokenizer_class")
    named = str(stored or config.get("tokenizer_class") or own).removesuffix("Fast")
    # DistilBERT's tokenizer may be called BERT's, but its model takes no types.
    named = own if own == DistilBertTokenizer.__name__ else named
    kind = read_fast(folder / FAST_FILE).get("model", {}).get("type", "WordPiece")
    if named in _GENERIC and kind != "WordPiece":
        return PreTrainedTokenizerFast
    # The files of another class are refused when they are read.
    return _CLASSES.get(f"{named}{end}", _CLASSES[f"BertTokenizer{end}"])
