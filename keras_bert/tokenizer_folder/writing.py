"""The files of a tokenizer, written in the formats of Hugging Face."""

import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from keras_bert.atomic_files import new_files, whole_directory
from keras_bert.tokenizer_folder.added import AddedToken
from keras_bert.tokenizer_folder.names import (
    CONFIG_FILE,
    DEFAULTS,
    FAST_FILE,
    PREFIX,
    SPECIAL_TOKENS,
    VOCAB_FILE,
    WORD_LENGTH,
)
from keras_bert.tokenizer_folder.reading import TokenizerFolder

_ALWAYS = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
_IF_TRUE = ("google_rules", "split_special_tokens")


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


def folder_texts(found: TokenizerFolder) -> dict[str, str]:
    """Returns the contents of a tokenizer's files by their names.

    Args:
        found: the tokenizer.
    """
    settings, added = DEFAULTS | found.settings, found.added_tokens
    vocab = {token: index for index, token in enumerate(found.tokens)}
    return {
        CONFIG_FILE: config_text(settings, added),
        FAST_FILE: fast_text(vocab, settings, added),
        VOCAB_FILE: vocabulary_text(found.all_tokens),
    }


def config_text(settings: Mapping[str, Any], added: Mapping[AddedToken, int]) -> str:
    """Returns the contents of `tokenizer_config.json`.

    Args:
        settings: arguments of `BertTokenizer`.
        added: the added tokens and their ids.
    """
    contents = {token.content for token in added}
    named = {k: settings[k] for k in SPECIAL_TOKENS if settings[k] in contents}
    return _as_json(
        {
            **{name: settings[name] for name in _ALWAYS},
            **{name: True for name in _IF_TRUE if settings[name]},
            **named,
            "model_max_length": settings["model_max_length"],
            "added_tokens_decoder": {str(i): t._asdict() for t, i in added.items()},
            "tokenizer_class": _class_for(settings, contents),
        }
    )


def _class_for(settings: Mapping[str, Any], added: Container[str]) -> str:
    """Returns the class of transformers that has all of these settings."""
    plain = settings["clean_text"] and settings["continuing_subword_prefix"] == PREFIX
    # BertTokenizer finds its special tokens in text, whatever the files say.
    found = [name for name in SPECIAL_TOKENS if name != "mask_token"]
    plain = plain and all(settings[name] in added for name in found)
    plain = plain and settings["max_word_length"] == WORD_LENGTH
    # Google's rules no class has; the nearest is enough.
    return (
        "BertTokenizer"
        if plain or settings["google_rules"]
        else "PreTrainedTokenizerFast"
    )


def fast_text(
    vocab: Mapping[str, int],
    settings: Mapping[str, Any],
    added: Mapping[AddedToken, int],
) -> str:
    """Returns the contents of `tokenizer.json`: the tokenizer for `tokenizers`.

    Args:
        vocab: token to id, without added tokens.
        settings: arguments of `BertTokenizer`.
        added: the added tokens and their ids.
    """
    ids = {token.content: index for token, index in added.items()} | dict(vocab)
    fast = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i} | token._asdict() for token, i in added.items()],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": settings["clean_text"],
            "handle_chinese_chars": settings["tokenize_chinese_chars"],
            "strip_accents": settings["strip_accents"],
            "lowercase": settings["do_lower_case"],
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "BertProcessing",
            "sep": [settings["sep_token"], ids[settings["sep_token"]]],
            "cls": [settings["cls_token"], ids[settings["cls_token"]]],
        },
        "decoder": {
            "type": "WordPiece",
            "prefix": settings["continuing_subword_prefix"],
            "cleanup": True,
        },
        "model": {
            "type": "WordPiece",
            "unk_token": settings["unk_token"],
            "continuing_subword_prefix": settings["continuing_subword_prefix"],
            "max_input_chars_per_word": settings["max_word_length"],
            "vocab": vocab,
        },
    }
    return _as_json(fast)


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
