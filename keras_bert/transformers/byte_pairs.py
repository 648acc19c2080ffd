"""Byte-level BPE, the tokenizers of RoBERTa: bytes, and pairs that are merged."""

import json
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from keras_bert.errors import InputError
from keras_bert.tokenizer_folder import FAST_FILE
from keras_bert.tokenizer_folder.vocabulary import read_object
from keras_bert.transformers.lengths import Options
from keras_bert.transformers.library_tokenizer import (
    PreTrainedTokenizerFast,
    existing,
    library_errors,
)

VOCABULARY_FILE, MERGES_FILE = "vocab.json", "merges.txt"
_VERSION = "#version"
# The special tokens of RoBERTa and of what descends from it.
NAMED_TOKENS = {
    **dict.fromkeys(("bos_token", "cls_token"), "<s>"),
    **dict.fromkeys(("eos_token", "sep_token"), "</s>"),
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}


class ByteLevelTokenizer(PreTrainedTokenizerFast):
    """A byte-level BPE tokenizer with the options and results of `transformers`.

    Texts are framed as `<s> a </s>`, pairs as `<s> a </s></s> b </s>`.

    Args:
        vocab_file: path of a `vocab.json`, or the ids by token.
        merges_file: path of a `merges.txt`, or the pairs in their order.
        tokenizer_file: path of a `tokenizer.json`, instead of both.
        **settings: see `PreTrainedTokenizerFast`.

    Raises:
        MissingFileError: there is no such file.
        InputError: a file is invalid, or has another algorithm.

    Example:
        >>> from keras_bert.transformers import RobertaTokenizerFast
        >>> tokens = ["<s>", "<pad>", "</s>", "<unk>", "a", "b", "ab"]
        >>> vocab = {token: index for index, token in enumerate(tokens)}
        >>> tokenizer = RobertaTokenizerFast(vocab, [("a", "b")])
        >>> tokenizer("ab", "b")["input_ids"]
        [0, 6, 2, 2, 5, 2]

    Source: the tokenizers of RoBERTa in `transformers` 4.57.
    """

    vocab_files_names: ClassVar = {
        "vocab_file": VOCABULARY_FILE,
        "merges_file": MERGES_FILE,
        "tokenizer_file": FAST_FILE,
    }
    model_input_names = ("input_ids", "attention_mask")
    _separators = 2
    _second_type = 0
    _kind = "BPE"
    _named_tokens = NAMED_TOKENS
    _mask_strips = True
    _switches: ClassVar = {"add_prefix_space": False, "trim_offsets": True}
    _switched = ("pre_tokenizer", "post_processor")

    @classmethod
    def _made(cls, vocab_file: Any, merges_file: Any) -> Tokenizer:
        if vocab_file is None or merges_file is None:
            raise InputError(
                f"Expected vocab_file and merges_file, paths of a {VOCABULARY_FILE} "
                f"and a {MERGES_FILE}. Received: {vocab_file!r:.60} and "
                f"{merges_file!r:.60}. To load a folder, write from_pretrained(folder)."
            )
        vocab = vocab_file if isinstance(vocab_file, dict) else _ids(Path(vocab_file))
        several = isinstance(merges_file, list | tuple)
        merges = merges_file if several else _merges(Path(merges_file))
        merges = [tuple(pair) for pair in merges]
        with library_errors("tokens with ids, and pairs of which each makes a token"):
            library = Tokenizer(models.BPE(vocab, merges))
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        library.decoder = decoders.ByteLevel()
        return library

    def _frame(self) -> None:
        if self._library.post_processor is None:
            ends = [(t, self.vocab[t]) for t in (self.sep_token, self.cls_token)]
            self._library.post_processor = processors.RobertaProcessing(*ends)

    def _library_for(self, options: Options) -> Tokenizer:
        words, asked = options.is_split_into_words, options.add_prefix_space
        spaced = self.add_prefix_space if asked is None else asked
        if words and self._fast and not spaced:
            raise InputError(
                "Expected a tokenizer with add_prefix_space=True for lists of words: "
                "without the space a word has the tokens of the rest of another one. "
                f"Received: {type(self).__name__} without it. Write "
                "from_pretrained(…, add_prefix_space=True)."
            )
        self._switch({"add_prefix_space": words or spaced})
        return self._library

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The tokenizer of the library."""
        self._switch({"add_prefix_space": self.add_prefix_space})
        return self._library

    def _vocabulary(self, fast: str) -> dict[str, str]:
        model = json.loads(fast)["model"]
        vocab = sorted(model["vocab"].items(), key=lambda item: item[1])
        merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
        return {
            VOCABULARY_FILE: json.dumps(dict(vocab), ensure_ascii=False) + "\n",
            MERGES_FILE: "\n".join([f"{_VERSION}: 0.2", *merges]) + "\n",
        }


def _ids(file: Path) -> dict[str, int]:
    """Returns the ids in a `vocab.json`."""
    return read_object(existing(file, VOCABULARY_FILE))


def _merges(file: Path) -> list[list[str]]:
    """Returns the pairs in a `merges.txt`."""
    try:
        lines = existing(file, MERGES_FILE).read_bytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"Expected text in UTF-8 in {file}: {error}.") from error
    found = []
    for number, line in enumerate(lines, 1):
        pair = line.rstrip("\r").split(" ")
        if not line.strip() or line.startswith(_VERSION):
            continue
        if len(pair) != 2:
            raise InputError(
                f"Expected two tokens and a space between them in line {number} of "
                f"{file}. Received: {line!r:.60}."
            )
        found.append(pair)
    return found
