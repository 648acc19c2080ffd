"""The files of a tokenizer, in the formats of Hugging Face."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_bert.atomic_files import new_files, whole_directory
from keras_bert.errors import InputError, MissingFileError
from keras_bert.tokenization.rules import WordRules
from keras_bert.tokenization.vocab import SPECIAL_TOKENS, VOCAB_FILE
from keras_bert.tokenization.wordpiece import MAX_WORD_LENGTH

CONFIG_FILE = "tokenizer_config.json"
FAST_FILE = "tokenizer.json"


def find_vocab(path: Path) -> Path:
    """Returns the vocabulary file of a tokenizer directory, or the file itself.

    Raises:
        MissingFileError: there is none.
    """
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


def read_settings(folder: Path) -> dict[str, Any]:
    """Reads those settings in `tokenizer_config.json` that `BertTokenizer` takes.

    Raises:
        InputError: the file is not a JSON object.
    """
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


def write_files(folder: Path, texts: Mapping[str, str], overwrite: bool) -> list[Path]:
    """Writes text files that appear together, and returns their paths.

    Args:
        folder: their directory; created.
        texts: by file name; last the one that readers look for.
        overwrite: replace existing files.

    Raises:
        ExistingOutputError: a file exists and `overwrite` is False.
    """
    together = new_files(folder, list(texts), overwrite)
    with together if folder.is_dir() else whole_directory(folder) as partial:
        for name, text in texts.items():
            (partial / name).write_text(text, "utf-8", newline="\n")
    return [folder / name for name in texts]


def vocabulary_text(tokens: list[str]) -> str:
    """Returns the contents of `vocab.txt`."""
    return "".join(f"{token}\n" for token in tokens)


def config_text(settings: Mapping[str, Any]) -> str:
    """Returns the contents of `tokenizer_config.json`."""
    return _as_json({**settings, "tokenizer_class": "BertTokenizer"})


def fast_text(
    vocab: Mapping[str, int], rules: WordRules, special: Mapping[str, str]
) -> str:
    """Returns the contents of `tokenizer.json`: the tokenizer for `tokenizers`.

    Args:
        vocab: token to id.
        rules: how text is normalized and split into words.
        special: special tokens by name.
    """
    flags = {"single_word": False, "lstrip": False, "rstrip": False}
    flags |= {"normalized": False, "special": True}
    present = sorted({t for t in special.values() if t in vocab}, key=vocab.__getitem__)
    fast = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocab[t], "content": t} | flags for t in present],
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
            "sep": [special["sep_token"], vocab[special["sep_token"]]],
            "cls": [special["cls_token"], vocab[special["cls_token"]]],
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": special["unk_token"],
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": MAX_WORD_LENGTH,
            "vocab": vocab,
        },
    }
    return _as_json(fast)


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
