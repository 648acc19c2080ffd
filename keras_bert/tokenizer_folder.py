"""The files of a tokenizer, read as transformers 5 reads them; no tokenization here.

Which file decides follows `AutoTokenizer`. If `tokenizer_class`, or without one the
`model_type` in `config.json`, names BERT's tokenizer, the vocabulary is that of
`tokenizer.json`, or else of `vocab.txt`, and `tokenizer_config.json` says everything
else: the normalizer in `tokenizer.json` is not used. Otherwise `tokenizer.json` says
everything. Where neither file exists, the vocabulary itself tells whether it is cased.
"""

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_bert.errors import InputError, KerasBertError, MissingFileError
from keras_bert.hub import HUB, is_name

VOCAB_FILE, FAST_FILE = "vocab.txt", "tokenizer.json"
CONFIG_FILE, MODEL_FILE = "tokenizer_config.json", "config.json"
MAP_FILE, ADDED_FILE = "special_tokens_map.json", "added_tokens.json"

SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
NO_LIMIT = 2**31 - 1  # a model_max_length that cuts nothing
KERAS_HUB_VOCAB = "assets/tokenizer/vocabulary.txt"
PREFIX, WORD_LENGTH = "##", 100  # of transformers' BertTokenizer

# The arguments of `BertTokenizer`, as transformers' has them.
DEFAULTS: dict[str, Any] = {
    "do_lower_case": True,
    "strip_accents": None,
    "tokenize_chinese_chars": True,
    "clean_text": True,
    "google_rules": False,
    "split_special_tokens": False,
    "continuing_subword_prefix": PREFIX,
    "max_word_length": WORD_LENGTH,
    "model_max_length": 512,
    **SPECIAL_TOKENS,
}

# These classes of transformers are one tokenizer, or let tokenizer.json decide.
_BERT_CLASSES = {
    f"{name}Tokenizer"
    for name in (
        *("Bert", "DistilBert", "Electra", "ConvBert", "MobileBert", "SqueezeBert"),
        *("LayoutLM", "Lxmert", "MegatronBert", "Ernie", "Nezha"),
    )
}
_GENERIC_CLASSES = {"PreTrainedTokenizerFast", "TokenizersBackend"}
_BERT_MODELS = {
    *("bert", "distilbert", "electra", "convbert", "mobilebert", "squeezebert"),
    *("layoutlm", "megatron-bert", "ernie", "nezha", "visual_bert", "nomic_bert"),
}
_MOST_IDS = 1 << 24
_ELSEWHERE = "Tokenize with transformers' AutoTokenizer, and give the model ids."
_SWITCHES = ("do_lower_case", "tokenize_chinese_chars", "strip_accents")
_OWN_SWITCHES = ("split_special_tokens", "google_rules")
# Old settings that transformers 5 reads and does not use, and values that ask nothing.
_UNUSED = {"never_split": (None, []), "do_basic_tokenize": (None, True)}

log = logging.getLogger(__name__)


class AddedToken(NamedTuple):
    """A token that is looked for in text before the text is split into words.

    Args:
        content: the token.
        special: dropped by `decode`; never masked in pretraining.
        normalized: looked for in normalized text, instead of the text as given.
        lstrip: takes whitespace on its left with it.
        rstrip: takes whitespace on its right with it.
        single_word: not found inside of words.

    Example:
        >>> AddedToken.of("<e1>", special=True).normalized
        False
    """

    content: str
    special: bool = False
    normalized: bool = True
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False

    @classmethod
    def of(cls, value: Any, special: bool = False) -> "AddedToken":
        """Returns a token from a string, a mapping, or transformers' `AddedToken`.

        Args:
            value: the token.
            special: the default of `special`; special tokens are by default not
                normalized.

        Raises:
            InputError: it is none of these.
        """
        if isinstance(value, str):
            return cls(value, special, not special)
        get = value.get if isinstance(value, Mapping) else _attribute(value, special)
        fields = {"special": special, "normalized": not special}
        found = {name: get(name, fields.get(name, False)) for name in cls._fields[1:]}
        content = get("content", None)
        flags = found.values()
        if not isinstance(content, str) or not all(isinstance(f, bool) for f in flags):
            raise InputError(
                "Expected a token: a string, or an AddedToken (or mapping) with a "
                f"string as content and true or false as flags. "
                f"Received: {value!r:.99}."
            )
        return cls(content, **found)


def _attribute(value: Any, special: bool) -> Any:
    """Returns what reads an `AddedToken` of transformers, as a special one or not."""
    flag = getattr(value, "special", None)
    if special and flag is False:
        value.special = True  # whether it is normalized follows, unless it was said
    found = {name: getattr(value, name, None) for name in AddedToken._fields}
    if special and flag is False:
        value.special = flag
    return lambda name, default: default if found[name] is None else found[name]


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
            values = [_special(t) for t in names if t in self.tokens]
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
    found = _SpecialTokens(config, folder)
    names = {k: t.content for k, t in found.named.items() if k in SPECIAL_TOKENS}
    names |= {name: settings[name] for name in SPECIAL_TOKENS if name in settings}
    stored = _stored_tokens(found, fast, decides, folder)
    defaults = () if decides else (SPECIAL_TOKENS | names).values()
    added = found.join(stored.values(), set(defaults).intersection(tokens))
    _say_where_ids_differ(added, stored, tokens, folder)
    return TokenizerFolder(tokens, settings | names | {"added_tokens": added})


def read_object(file: Path) -> dict[str, Any]:
    """Returns the object in a JSON file; empty if there is no such file.

    Raises:
        InputError: the file holds something else.
    """
    if not file.is_file():
        return {}
    try:
        values = json.loads(file.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"Expected a JSON object in {file}: {error}.") from error
    if not isinstance(values, dict):
        raise InputError(
            f"Expected a JSON object in {file}. Received: {type(values).__name__}."
        )
    return values


# What the parts of a tokenizer.json are, where they are there.
_PARTS = {
    "model": dict,
    "normalizer": dict,
    "pre_tokenizer": dict,
    "post_processor": dict,
    "padding": dict,
    "truncation": dict,
    "added_tokens": list,
    "config": dict,  # of KerasHub's file of this name
}


def read_fast(file: Path) -> dict[str, Any]:
    """Returns a `tokenizer.json`, whose parts are of the right types or absent."""
    values = read_object(file)
    for name, kind in _PARTS.items():
        part = values.get(name)
        if part is None:
            values.pop(name, None)
        elif not isinstance(part, kind):
            raise InputError(
                f"Expected {'a list' if kind is list else 'an object'} as {name} in "
                f"{file}. Received: {part!r:.60}."
            )
    return values


# === Which files decide ===


def _vocabulary_file(folder: Path) -> Path:
    if not folder.is_dir():
        name = str(folder)
        hint = f" To download it, write {HUB}{name}." if is_name(name) else ""
        raise MissingFileError(
            f"Expected a tokenizer directory or a vocab.txt at {folder}, found "
            f"nothing.{hint}"
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
    name = config.get("tokenizer_class") or model.get("tokenizer_class")
    if name is None:
        return str(model.get("model_type")) not in _BERT_MODELS
    name = str(name)
    if name in _GENERIC_CLASSES:
        return True
    if name.removesuffix("Fast") in _BERT_CLASSES:
        return False
    raise InputError(
        f"Expected a WordPiece tokenizer in {folder}: tokenizer_class BertTokenizer, "
        f"or PreTrainedTokenizerFast with a {FAST_FILE}. Received: {name!r}, another "
        f"algorithm. {_ELSEWHERE}"
    )


def _from_settings(
    vocabulary: Path, fast: Mapping, config: Mapping, folder: Path
) -> tuple[list[str], dict[str, Any]]:
    """Reads what `BertTokenizer` of transformers takes."""
    if vocabulary.suffix == ".json":
        tokens = tokens_by_id(wordpiece_model(fast, vocabulary), vocabulary)
        _compare(tokens, _added_in(fast, vocabulary).values(), folder)
    else:
        tokens = read_vocabulary(vocabulary)
    settings = _switches(config, _SWITCHES, folder)
    if not config and not fast:
        settings |= _bare(tokens, vocabulary)
    elif "do_lower_case" not in settings and is_cased(tokens):
        log.warning(
            "%s has tokens with capital letters, but no do_lower_case: false: text is "
            "lower-cased, as transformers does.",
            folder / CONFIG_FILE,
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
    return TokenizerFolder(read_vocabulary(folder / KERAS_HUB_VOCAB), settings)


def is_cased(tokens: Iterable[str]) -> bool:
    """Whether any token has a capital letter, apart from the special ones.

    Example:
        >>> is_cased(["[PAD]", "the"]), is_cased(["[PAD]", "The"])
        (False, True)
    """
    return any(t != t.lower() for t in tokens if not t.startswith("["))


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


def wordpiece_model(fast: Mapping, file: Path) -> Mapping:
    """Returns the model in a `tokenizer.json`.

    Raises:
        InputError: there is none, or one of another kind.
    """
    model = fast.get("model")
    if model is None:
        raise InputError(f"Expected a tokenizer with a model in {file}; found none.")
    kind = model.get("type", "BPE" if "merges" in model else "WordPiece")
    if kind != "WordPiece" or not isinstance(model.get("vocab"), dict):
        raise InputError(
            f"Expected a WordPiece model with its vocabulary in {file}. Received: "
            f"{kind}. {_ELSEWHERE}"
        )
    return model


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
            f"package does not have. {_ELSEWHERE}"
        )
    return value


def _framing(fast: Mapping, model: Mapping, file: Path) -> dict[str, str]:
    """Returns the tokens around texts, if they are placed as BERT has them."""
    processor = fast.get("post_processor")
    added = {token.content: i for i, token in _added_in(fast, file).items()}
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
        f"vocabulary. Received: {json.dumps(processor)[:200]}. {_ELSEWHERE}"
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


# === Vocabularies ===


def read_vocabulary(path: Path) -> list[str]:
    """Reads a `vocab.txt`.

    Args:
        path: the file.

    Returns:
        The tokens; a token's line is its id.

    Raises:
        InputError: the file is empty or not UTF-8 text.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"Expected a WordPiece vocabulary in UTF-8 in {path}: {error}. Convert the "
            "file to UTF-8."
        ) from error
    # Only "\n" ends a line: two tokens of the Chinese vocabulary are other line breaks
    # of Unicode.
    lines = text.split("\n")
    tokens = [line.strip() for line in lines[: -1 if lines[-1] == "" else None]]
    if not any(tokens):
        raise InputError(
            f"The vocabulary {path} is empty; expected one token per line."
        )
    return tokens


def tokens_by_id(model: Mapping, file: Path) -> list[str]:
    """Returns the tokens of the model in a `tokenizer.json`, in the order of ids.

    Raises:
        InputError: an id is no id, or two tokens have the same one.
    """
    names: dict[int, str] = {}
    for token, index in model["vocab"].items():
        if isinstance(index, bool) or not isinstance(index, int):
            raise InputError(
                f"Expected integers as ids in {file}: {token!r} has {index!r}."
            )
        if not 0 <= index < _MOST_IDS:
            raise InputError(
                f"Expected ids in [0, {_MOST_IDS}) in {file}: {token!r} has {index}."
            )
        if index in names:
            raise InputError(
                f"Expected each id once in {file}: {names[index]!r} and {token!r} both "
                f"have {index}."
            )
        names[index] = token
    if not names:
        raise InputError(f"The vocabulary in {file} is empty.")
    return [names.get(index, "") for index in range(max(names) + 1)]


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


# === Settings ===


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


# === Added and special tokens ===


class _SpecialTokens:
    """The special tokens that settings name.

    Args:
        config: the contents of `tokenizer_config.json`.
        folder: the folder, for `special_tokens_map.json`, which counts if the settings
            do not list added tokens themselves.
    """

    def __init__(self, config: Mapping, folder: Path) -> None:
        self.lists = "added_tokens_decoder" in config
        mapped = {} if self.lists else read_object(folder / MAP_FILE)
        self.decoder = config.get("added_tokens_decoder")
        self.named = _named_tokens({**config, **mapped}, folder)
        own = _extra_tokens(config, folder)
        self.extra = own or _extra_tokens(mapped, folder)
        # Of these alone transformers knows that they are special when it reads
        # added_tokens.json.
        self.known = {token.content for token in self.named.values()} | set(own)

    def join(
        self, stored: Iterable[AddedToken], defaults: Iterable[str]
    ) -> list[AddedToken]:
        """Returns all added tokens, those that files list first, in that order."""
        special = {token.content for token in self.named.values()}.union(defaults)
        found = {token.content: token for token in stored}
        others = [*self.named.values(), *map(_special, sorted(defaults))]
        for token in (*others, *self.extra.values()):
            found.setdefault(token.content, token)
        return [
            token._replace(special=token.special or token.content in special)
            for token in found.values()
            if token.content
        ]


def _special(content: str) -> AddedToken:
    return AddedToken.of(content, special=True)


_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token")


def _named_tokens(config: Mapping, folder: Path) -> dict[str, AddedToken]:
    known = [name for name in (*_NAMED, "mask_token") if config.get(name) is not None]
    others = [n for n in config if n.endswith("_token") and n not in known]
    names = [*known, *(n for n in others if isinstance(config[n], str | dict))]
    return {
        name: _token(config[name], f"{name} in {folder}", special=True)
        for name in names
    }


def _extra_tokens(config: Mapping, folder: Path) -> dict[str, AddedToken]:
    found = config.get("extra_special_tokens") or config.get(
        "additional_special_tokens"
    )
    if not isinstance(found, list | dict | None):
        raise InputError(
            f"Expected a list as additional_special_tokens in {folder}. Received: "
            f"{found!r:.60}."
        )
    values = found.values() if isinstance(found, dict) else found or ()
    where = f"additional_special_tokens in {folder}"
    tokens = [_token(value, where, special=True) for value in values]
    return {token.content: token for token in tokens}


def _token(value: Any, where: str, special: bool = False) -> AddedToken:
    try:
        return AddedToken.of(value, special)
    except InputError as error:
        raise InputError(f"{error} It is {where}.") from error


def _stored_tokens(
    found: _SpecialTokens, fast: Mapping, decides: bool, folder: Path
) -> dict[int, AddedToken]:
    """Returns added tokens by the ids that files give them, in that order."""
    listed = _listed_tokens(found, folder)
    # transformers' BERT tokenizer reads those of tokenizer.json only if no settings
    # list any.
    file = folder / FAST_FILE
    in_fast = _added_in(fast, file) if decides or not found.lists else {}
    both = {**in_fast, **listed} if found.lists else {**listed, **in_fast}
    return dict(sorted(both.items()))


def _added_in(fast: Mapping, file: Path) -> dict[int, AddedToken]:
    found: dict[int, AddedToken] = {}
    for value in fast.get("added_tokens", ()):
        index = _id(value.get("id") if isinstance(value, dict) else None, file)
        if index in found:
            raise InputError(
                f"Expected each id once in {file}: {index} is there twice."
            )
        found[index] = _token(value, f"in {file}")
    return found


def _listed_tokens(found: _SpecialTokens, folder: Path) -> dict[int, AddedToken]:
    if not found.lists:
        file = folder / ADDED_FILE
        return {
            _id(index, file): AddedToken.of(content, special=content in found.known)
            for content, index in read_object(file).items()
        }
    file = folder / CONFIG_FILE
    if not isinstance(found.decoder, dict):
        raise InputError(f"Expected an object as added_tokens_decoder in {file}.")
    return {
        _id(index, file): _token(value, f"in {file}")
        for index, value in found.decoder.items()
    }


def _id(value: Any, file: Path) -> int:
    index = int(value) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(index, bool) or not isinstance(index, int):
        raise InputError(
            f"Expected integers as ids in {file}. Received: {value!r:.60}."
        )
    if not 0 <= index < _MOST_IDS:
        raise InputError(
            f"Expected ids in [0, {_MOST_IDS}) in {file}. Received: {value!r:.60}."
        )
    return index


def _say_where_ids_differ(
    added: Iterable[AddedToken],
    stored: Mapping[int, AddedToken],
    tokens: Sequence[str],
    folder: Path,
) -> None:
    ids = {token: index for index, token in enumerate(tokens)}
    for token in added:
        ids.setdefault(token.content, len(ids))
    for index, token in stored.items():
        if ids.get(token.content, index) != index:
            log.warning(
                "Added token %r in %s has id %d, after what the vocabulary holds, and "
                "not %d as the file says; transformers numbers it the same way.",
                token.content,
                folder,
                ids[token.content],
                index,
            )
