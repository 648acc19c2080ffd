"""SentencePiece's unigram model, the tokenizers of XLM-RoBERTa."""

from pathlib import Path
from typing import Any, ClassVar

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from keras_bert.errors import InputError
from keras_bert.protobuf import message_classes
from keras_bert.tokenizer_folder import FAST_FILE
from keras_bert.transformers.byte_pairs import NAMED_TOKENS
from keras_bert.transformers.library_tokenizer import (
    PreTrainedTokenizerFast,
    existing,
    library_errors,
)

MODEL_FILE = "sentencepiece.bpe.model"
_UNIGRAM, _CONTROL, _USER_DEFINED = 1, 3, 4
# The fields of sentencepiece_model.proto that are read.
_MESSAGES = {
    "Piece": [(1, "piece", "string"), (2, "score", "float"), (3, "type", "int32")],
    "Trainer": [(3, "model_type", "int32"), (35, "byte_fallback", "bool")],
    "Normalizer": [(2, "precompiled_charsmap", "bytes")],
    "Model": [
        (1, "pieces", "*Piece"),
        (2, "trainer_spec", "Trainer"),
        (3, "normalizer_spec", "Normalizer"),
    ],
}
# Tokens in front of the pieces of the file, in place of its first three.
_FIRST = ("<s>", "<pad>", "</s>", "<unk>")


class SentencePieceTokenizer(PreTrainedTokenizerFast):
    """A unigram tokenizer with the options and results of `transformers`.

    Texts are framed as `<s> a </s>`, pairs as `<s> a </s></s> b </s>`.

    Args:
        vocab_file: path of a `sentencepiece.bpe.model`.
        tokenizer_file: path of a `tokenizer.json`, instead.
        **settings: see `PreTrainedTokenizerFast`.

    Raises:
        MissingFileError: there is no such file.
        InputError: a file is invalid, or has another algorithm.

    Source: the tokenizers of XLM-RoBERTa in `transformers` 4.57.
    """

    vocab_files_names: ClassVar = {
        "vocab_file": MODEL_FILE,
        "tokenizer_file": FAST_FILE,
    }
    model_input_names = ("input_ids", "attention_mask")
    _separators = 2
    _second_type = 0
    _kind = "Unigram"
    _named_tokens = NAMED_TOKENS
    _mask_strips = True
    _switches: ClassVar = {}

    @classmethod
    def _made(cls, vocab_file: Any, merges_file: Any) -> Tokenizer:
        if vocab_file is None:
            raise InputError(
                f"Expected vocab_file, the path of a {MODEL_FILE}. Received: None. To "
                "load a folder, write from_pretrained(folder)."
            )
        return _library(_model(Path(vocab_file)))

    def _frame(self) -> None:
        if self._library.post_processor is None:
            cls, sep = self.cls_token, self.sep_token
            self._library.post_processor = processors.TemplateProcessing(
                single=f"{cls} $A {sep}",
                pair=f"{cls} $A {sep} {sep} $B {sep}",
                special_tokens=[(token, self.vocab[token]) for token in (cls, sep)],
            )


def _model(file: Path) -> Any:
    """Returns the message in a file of SentencePiece."""
    data = existing(file, MODEL_FILE).read_bytes()
    with library_errors(f"a model of SentencePiece in {file}"):
        model = message_classes(_MESSAGES)["Model"].FromString(data)
    kind = model.trainer_spec.model_type or _UNIGRAM
    if kind != _UNIGRAM or model.trainer_spec.byte_fallback or len(model.pieces) < 4:
        raise InputError(
            f"Expected a unigram model of SentencePiece without byte_fallback in "
            f"{file}. Received: {len(model.pieces)} pieces, model_type={kind}, "
            f"byte_fallback={model.trainer_spec.byte_fallback}. Convert it to a "
            f"{FAST_FILE} with transformers."
        )
    return model


def _library(model: Any) -> Tokenizer:
    """Returns the tokenizer of the library for a message of SentencePiece."""
    pieces = [(piece.piece, piece.score) for piece in model.pieces[3:]]
    vocab = [*((t, 0.0) for t in _FIRST), *pieces, (NAMED_TOKENS["mask_token"], 0.0)]
    with library_errors("pieces with scores"):
        library = Tokenizer(models.Unigram(vocab, _FIRST.index("<unk>"), False))
    charsmap = model.normalizer_spec.precompiled_charsmap
    library.normalizer = normalizers.Sequence(
        [
            *([normalizers.Precompiled(charsmap)] if charsmap else []),
            normalizers.Strip(left=False, right=True),
            normalizers.Replace(Regex(" {2,}"), "▁"),
        ]
    )
    library.pre_tokenizer = pre_tokenizers.Metaspace("▁", "always")
    library.decoder = decoders.Metaspace("▁", "always")
    kinds = {_CONTROL: True, _USER_DEFINED: False}
    library.add_tokens(
        [
            AddedToken(p.piece, normalized=False, special=kinds[p.type])
            for p in model.pieces
            if p.type in kinds
        ]
    )
    return library
