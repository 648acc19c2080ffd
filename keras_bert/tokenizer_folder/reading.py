"""A folder, read: which of its files decides, and what it sets."""

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_bert.errors import InputError, KerasBertError, MissingFileError
from keras_bert.families import FAMILIES
from keras_bert.hub import written_as
from keras_bert.tokenizer_folder.added import (
    AddedToken,
    SpecialTokens,
    added_in,
    say_where_ids_differ,
    special_token,
    stored_tokens,
)
from keras_bert.tokenizer_folder.names import (
    CONFIG_FILE,
    DEFAULTS,
    ELSEWHERE,
    FAST_FILE,
    KERAS_HUB_PREPROCESSOR,
    KERAS_HUB_VOCAB,
    MODEL_FILE,
    NO_LIMIT,
    PREFIX,
    SPECIAL_TOKENS,
    VOCAB_FILE,
    WORD_LENGTH,
)
from keras_bert.tokenizer_folder.vocabulary import (
    is_cased,
    read_fast,
    read_object,
    read_vocabulary,
    tokens_by_id,
    wordpiece_model,
)

log = logging.getLogger(__name__)

_OURS = [family for family in FAMILIES.values() if family.tokenizer == "wordpiece"]
# And further classes and models of transformers with this tokenizer. With a generic
# class tokenizer.json decides.
_WORDPIECE_CLASSES = {
    *(family.tokenizer_class for family in _OURS),
    *(
        f"{name}Tokenizer"
        for name in (
            *("ConvBert", "MobileBert", "SqueezeBert", "LayoutLM", "Lxmert"),
            *("MegatronBert", "Ernie", "Nezha"),
        )
    ),
}
# Models whose tokenizer has a vocab.txt too, but divides texts into words by a
# dictionary first; it is theirs unless the files name another class.
_OTHER_CLASSES = {
    family.model_type: family.tokenizer_class
    for family in FAMILIES.values()
    if family.tokenizer == "jieba_wordpiece"
}
_GENERIC_CLASSES = {"PreTrainedTokenizerFast", "TokenizersBackend"}
_WORDPIECE_MODELS = {
    *(family.model_type for family in _OURS),
    *("convbert", "mobilebert", "squeezebert", "layoutlm", "megatron-bert"),
    *("ernie", "nezha", "visual_bert"),
}
_SWITCHES = ("do_lower_case", "tokenize_chinese_chars", "strip_accents")
_OWN_SWITCHES = ("split_special_tokens", "google_rules")
# Old settings that transformers 5 reads and does not use, and values that ask nothing.
_UNUSED = {"never_split": (None, []), "do_basic_tokenize": (None, True)}


class TokenizerFolder(NamedTuple):
    """What a folder says.

    Attributes:
        tokens: the vocabulary, in the order of ids, without added tokens.
        settings: the other arguments of `BertTokenizer`.
    """

    tokens: list[str]
    settings: dict[str, Any]

    @property
    def added_tokens(self) -> dict[AddedToken, int]:
        """The added tokens and their ids; those that the vocabulary lacks follow it."""
        values = self.settings.get("added_tokens")
        if values is None:
            settings = DEFAULTS | self.settings
            names = dict.fromkeys(settings[name] for name in SPECIAL_TOKENS)
            values = [special_token(t) for t in names if t in self.tokens]
        ids = {token: index for index, token in enumerate(self.tokens)}
        size, found = len(self.tokens), {}
        for token in map(AddedToken.of, values):
            size += token.content not in ids
            found[token] = ids.setdefault(token.content, size - 1)
        return found

    @property
    def all_tokens(self) -> list[str]:
        """The vocabulary followed by those added tokens that it lacks."""
        size = len(self.tokens)
        added = {i: t.content for t, i in self.added_tokens.items() if i >= size}
        return [*self.tokens, *(added[index] for index in sorted(added))]


def read_folder(path: Path) -> TokenizerFolder:
    """Reads a tokenizer.

    Args:
        path: a directory, or a vocabulary file; files next to it count.

    Returns:
        Its vocabulary and settings.

    Raises:
        MissingFileError: there is no vocabulary.
        InputError: a file is invalid, or asks for what this package does not have.
    """
    try:
        return _read_folder(path)
    except KerasBertError:
        raise
    # What is checked below is what has a meaning; anything may have another type.
    except (
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        raise InputError(
            f"Expected the files of a tokenizer of transformers at {path}. "
            f"Received something else: {' '.join(str(error).split())[:200]}."
        ) from error


def _read_folder(path: Path) -> TokenizerFolder:
    folder = path.parent if path.is_file() else path
    if (folder / KERAS_HUB_VOCAB).is_file():
        return _keras_hub(folder)
    vocabulary = path if path.is_file() else _vocabulary_file(path)
    config, fast = read_object(folder / CONFIG_FILE), read_fast(folder / FAST_FILE)
    decides = _fast_file_decides(folder, config) and bool(fast)
    reader = _from_fast_file if decides else _from_settings
    tokens, settings = reader(vocabulary, fast, config, folder)
    _refuse_left_side(fast, config, folder)
    _say_what_is_unused(config, folder)
    settings |= _switches(config, _OWN_SWITCHES, folder)
    length = config.get("model_max_length", config.get("max_len"))
    if length is not None:
        settings["model_max_length"] = _length(length, folder / CONFIG_FILE)
    found = SpecialTokens(config, folder)
    names = {k: t.content for k, t in found.named.items() if k in SPECIAL_TOKENS}
    names |= {name: settings[name] for name in SPECIAL_TOKENS if name in settings}
    stored = stored_tokens(found, fast, decides, folder)
    defaults = () if decides else (SPECIAL_TOKENS | names).values()
    added = found.join(stored.values(), set(defaults).intersection(tokens))
    say_where_ids_differ(added, stored, tokens, folder)
    return TokenizerFolder(tokens, settings | names | {"added_tokens": added})


def _vocabulary_file(folder: Path) -> Path:
    if not folder.is_dir():
        raise MissingFileError(
            f"Expected a tokenizer directory or a vocab.txt at {folder}, found "
            f"nothing.{written_as(folder)}"
        )
    for name in (FAST_FILE, VOCAB_FILE):
        if (folder / name).is_file():
            return folder / name
    raise MissingFileError(
        f"Expected {VOCAB_FILE} or {FAST_FILE} in {folder}, found neither. Copy the "
        "vocabulary the model was trained with into it."
    )


def _fast_file_decides(folder: Path, config: Mapping) -> bool:
    model = read_object(folder / MODEL_FILE)
    model_type = str(model.get("model_type"))
    name = config.get("tokenizer_class") or model.get("tokenizer_class")
    name = name or _OTHER_CLASSES.get(model_type)
    if name is None:
        return model_type not in _WORDPIECE_MODELS
    name = str(name)
    if name in _GENERIC_CLASSES:
        return True
    if name.removesuffix("Fast") in _WORDPIECE_CLASSES:
        return False
    raise InputError(
        f"Expected a WordPiece tokenizer in {folder}: tokenizer_class BertTokenizer, "
        f"or PreTrainedTokenizerFast with a {FAST_FILE}. Received: {name!r}, another "
        f"algorithm. {ELSEWHERE}"
    )


def _from_settings(
    vocabulary: Path, fast: Mapping, config: Mapping, folder: Path
) -> tuple[list[str], dict[str, Any]]:
    """Reads what `BertTokenizer` of transformers takes."""
    if vocabulary.suffix == ".json":
        tokens = tokens_by_id(wordpiece_model(fast, vocabulary), vocabulary)
        _compare(tokens, added_in(fast, vocabulary).values(), folder)
    else:
        tokens = read_vocabulary(vocabulary)
    settings = _switches(config, _SWITCHES, folder)
    if not config and not fast:
        settings |= _bare(tokens, vocabulary)
    elif "do_lower_case" not in settings and is_cased(tokens):
        log.warning(
            "%s has tokens with capital letters, but no do_lower_case: false in a %s: "
            "text is lower-cased, as transformers does.",
            folder,
            CONFIG_FILE,
        )
    _say_what_normalizer_is_not_used(settings, fast, folder)
    return tokens, settings


def _bare(tokens: Sequence[str], vocabulary: Path) -> dict[str, Any]:
    cased = is_cased(tokens)
    log.info(
        "%s has no %s; its tokens are %s, so text is %s.",
        vocabulary,
        CONFIG_FILE,
        "cased" if cased else "all lower-case",
        "kept as it is" if cased else "lower-cased and accents are stripped",
    )
    return {"do_lower_case": not cased}


def _keras_hub(folder: Path) -> TokenizerFolder:
    """Reads the tokenizer of a preset of KerasHub."""
    options = read_fast(folder / FAST_FILE).get("config", {})
    names = {"lowercase": "do_lower_case", "strip_accents": "strip_accents"}
    settings = {ours: bool(options.get(name)) for name, ours in names.items()}
    settings |= keras_hub_length(folder)
    return TokenizerFolder(read_vocabulary(folder / KERAS_HUB_VOCAB), settings)


def keras_hub_length(folder: Path) -> dict[str, int]:
    """Returns the length of rows of a preset's preprocessor, if it has one."""
    options = read_object(folder / KERAS_HUB_PREPROCESSOR).get("config", {})
    length = options.get("sequence_length")
    return {"model_max_length": length} if isinstance(length, int) else {}


def _from_fast_file(
    vocabulary: Path, fast: Mapping, config: Mapping, folder: Path
) -> tuple[list[str], dict[str, Any]]:
    """Reads everything from `tokenizer.json`."""
    file = folder / FAST_FILE
    model = wordpiece_model(fast, file)
    if vocabulary.suffix == ".json":
        tokens = tokens_by_id(model, file)
    else:
        tokens = read_vocabulary(vocabulary)
    normalizer = _only(fast, "normalizer", "BertNormalizer", file)
    _only(fast, "pre_tokenizer", "BertPreTokenizer", file)
    names = {
        "clean_text": "clean_text",
        "handle_chinese_chars": "tokenize_chinese_chars",
        "strip_accents": "strip_accents",
        "lowercase": "do_lower_case",
    }
    switches = {ours: normalizer[n] for n, ours in names.items() if n in normalizer}
    settings = _switches(switches, [*_SWITCHES, "clean_text"], folder, FAST_FILE)
    prefix = model.get("continuing_subword_prefix", PREFIX)
    length = model.get("max_input_chars_per_word", WORD_LENGTH)
    if not isinstance(prefix, str) or not _is_count(length):
        raise InputError(
            "Expected a string as continuing_subword_prefix and a positive integer as "
            f"max_input_chars_per_word in {file}. Received: {prefix!r} and {length!r}."
        )
    settings |= {"continuing_subword_prefix": prefix, "max_word_length": length}
    framing = _framing(fast, model, file)
    padding = fast.get("padding", {}).get("pad_token")
    if isinstance(padding, str) and not config.get("pad_token"):
        framing["pad_token"] = padding
    if isinstance(model.get("unk_token"), str):
        framing["unk_token"] = model["unk_token"]
    return tokens, settings | framing


def _only(fast: Mapping, part: str, kind: str, file: Path) -> Mapping:
    """Returns a part of a `tokenizer.json`, which must be of one kind."""
    value = fast.get(part)
    inner = value and value.get("normalizers", value.get("pretokenizers"))
    if isinstance(inner, list) and len(inner) == 1:
        (value,) = inner
    if not isinstance(value, dict) or value.get("type") != kind:
        shown = value.get("type") if isinstance(value, dict) else value
        raise InputError(
            f"Expected {kind} as {part} in {file}. Received: {shown}, which this "
            f"package does not have. {ELSEWHERE}"
        )
    return value


def _framing(fast: Mapping, model: Mapping, file: Path) -> dict[str, str]:
    """Returns the tokens around texts, if they are placed as BERT has them."""
    processor = fast.get("post_processor")
    added = {token.content: i for i, token in added_in(fast, file).items()}
    try:
        (cls, cls_id), (sep, sep_id) = _placed(processor)
        ids = {name: {**added, **model["vocab"]}[name] for name in (cls, sep)}
        if ids == {cls: cls_id, sep: sep_id}:
            return {"cls_token": cls, "sep_token": sep}
    except (KeyError, TypeError, IndexError, ValueError, AttributeError):
        pass
    raise InputError(
        f"Expected a post_processor in {file} that makes [CLS] A [SEP] of a text and "
        "[CLS] A [SEP] B [SEP] of a pair, with types 0 and 1 and the ids of the "
        f"vocabulary. Received: {json.dumps(processor)[:200]}. {ELSEWHERE}"
    )


def _placed(processor: Any) -> tuple[tuple[str, int], tuple[str, int]]:
    """Returns the tokens before and after a text with their ids; raises if others."""
    if processor["type"] == "BertProcessing":
        return processor["cls"], processor["sep"]
    if processor["type"] != "TemplateProcessing":
        raise ValueError
    single, pair = _template(processor["single"]), _template(processor["pair"])
    cls, sep = single[0][0], single[-1][0]
    first = [(cls, 0), ("A", 0), (sep, 0)]
    if (single, pair) != (first, [*first, ("B", 1), (sep, 1)]):
        raise ValueError
    (cls_id,), (sep_id,) = (processor["special_tokens"][t]["ids"] for t in (cls, sep))
    return (cls, cls_id), (sep, sep_id)


def _template(steps: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    found = [next(iter(step.values())) for step in steps]
    return [(step["id"], step["type_id"]) for step in found]


def _compare(tokens: Sequence[str], added: Iterable[AddedToken], folder: Path) -> None:
    """Says so if `vocab.txt` has another vocabulary than `tokenizer.json`."""
    if not (folder / VOCAB_FILE).is_file():
        return
    listed = read_vocabulary(folder / VOCAB_FILE)
    known = set(tokens)
    others = [t.content for t in added if t.content not in known]
    if listed not in (list(tokens), [*tokens, *others]):
        log.warning(
            "%s and %s have different tokens (%d and %d): taking those of %s, as "
            "transformers does. Delete the one that is out of date.",
            folder / VOCAB_FILE,
            FAST_FILE,
            len(listed),
            len(tokens),
            FAST_FILE,
        )


def _switches(
    values: Mapping, names: Iterable[str], folder: Path, file: str = CONFIG_FILE
) -> dict[str, Any]:
    found = {name: values[name] for name in names if name in values}
    for name, value in found.items():
        if not isinstance(value, bool) and value is not None:
            raise InputError(
                f"Expected true or false for {name} in {folder / file}. Received: "
                f"{value!r:.60}. Correct the file."
            )
    return {k: v for k, v in found.items() if v is not None or k == "strip_accents"}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _length(value: Any, file: Path) -> int:
    """Returns a maximum length; transformers writes 1e30 for none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or math.isnan(value) or value < 1:
        raise InputError(
            f"Expected a positive number as model_max_length in {file}. Received: "
            f"{value!r:.60}."
        )
    return int(min(value, NO_LIMIT))


def _refuse_left_side(fast: Mapping, config: Mapping, folder: Path) -> None:
    for name in ("padding", "truncation"):
        stored = fast.get(name, {}).get("direction", "right")
        side = config.get(f"{name}_side") or stored
        if str(side).lower() != "right":
            raise InputError(
                f"Expected {name}_side 'right' in {folder}. Received: {side!r}, which "
                f"this package does not have. Set it to 'right' in {CONFIG_FILE}."
            )


def _say_what_is_unused(config: Mapping, folder: Path) -> None:
    for name, nothing in _UNUSED.items():
        if config.get(name) not in nothing:
            log.warning(
                "%s in %s has no effect, as in transformers 5.",
                f"{name}={config[name]!r:.60}",
                folder / CONFIG_FILE,
            )


def _say_what_normalizer_is_not_used(
    settings: Mapping, fast: Mapping, folder: Path
) -> None:
    normalizer = fast.get("normalizer", {})
    if "lowercase" not in normalizer:
        return
    lower = settings.get("do_lower_case", True)
    if normalizer["lowercase"] != lower or normalizer.get(
        "strip_accents"
    ) != settings.get("strip_accents"):
        log.warning(
            "The normalizer in %s is not what %s asks for (do_lower_case=%s, "
            "strip_accents=%s): taking the latter, as transformers does for a BERT "
            "tokenizer. Correct one of the two.",
            folder / FAST_FILE,
            CONFIG_FILE,
            lower,
            settings.get("strip_accents"),
        )
