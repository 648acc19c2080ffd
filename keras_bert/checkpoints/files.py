"""The files of a checkpoint: output directories, JSON, shards, tokenizer files."""

import contextlib
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert import families
from keras_bert.atomic_files import locked_output, whole_directory
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.config import Config, read_json_file
from keras_bert.errors import (
    CheckpointError,
    ConfigError,
    ExistingOutputError,
    InputError,
    KerasBertError,
)
from keras_bert.tokenizer_folder import (
    CONFIG_FILE,
    DEFAULTS,
    FAST_FILE,
    NO_LIMIT,
    VOCAB_FILE,
    TokenizerFolder,
    folder_texts,
    read_folder,
    vocabulary_text,
)

log = logging.getLogger(__name__)

VOCABULARY, SETTINGS, FAST = VOCAB_FILE, CONFIG_FILE, FAST_FILE
TOKENIZER_FILES = (
    VOCABULARY,
    FAST,
    SETTINGS,
    "special_tokens_map.json",
    "added_tokens.json",
    *("vocab.json", "merges.txt"),  # of byte-level BPE
    "sentencepiece.bpe.model",
)
# Only a directory with one of these may be overwritten.
MARKS = ("conversion.json", "config.json", "bert_config.json", "adapter_config.json")
OPTIMIZER_STATE = "optimizer state"  # why a tensor is not a weight
# How a config is given that is not next to the weights.
CONFIG_OPTION = (
    "config_file= in Python, --config of keras-bert convert, strip and inspect"
)
# What is found in place of weights, by how it begins.
OTHER_KINDS = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself. Run "
    "`git lfs pull`, or download the file.",
    **dict.fromkeys(
        (b"<!doctype html", b"<html", b"<?xml"), "a web page. Download the file itself."
    ),
    b"\x1f\x8b": "a gzip archive. Unpack it first.",
}
LONGEST_NAME = 255  # bytes of a file's name
LARGE = 1 << 28  # bytes of a file that is worth a progress bar


@contextlib.contextmanager
def new_directory(
    path: str | Path, overwrite: bool = False, source: Path | None = None
) -> Iterator[Path]:
    """Yields a temporary directory that becomes `path` if the block succeeds.

    Args:
        path: the directory to make.
        overwrite: replace an existing checkpoint directory.
        source: what is being read; it must not be inside `path`.

    Yields:
        An empty directory next to `path`, removed if the block raises.

    Raises:
        ExistingOutputError: `path` exists, and `overwrite` is False or it is not the
            directory of a checkpoint.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "new"
        >>> with new_directory(folder) as partial:
        ...     _ = (partial / "config.json").write_text("{}")
        >>> [p.name for p in folder.iterdir()]
        ['config.json']
    """
    path = Path(path).absolute()
    with locked_output(path):
        _refuse(path, overwrite, source)
        with whole_directory(path, replace=overwrite) as partial:
            yield partial


def _refuse(path: Path, overwrite: bool, source: Path | None) -> None:
    if path.is_dir() and not any(path.iterdir()):
        return
    if source is not None and Path(source).absolute().is_relative_to(path):
        raise ExistingOutputError(
            f"The output {path} holds the source {source}. Choose another output."
        )
    if not path.exists():
        return
    if not overwrite:
        raise ExistingOutputError(
            f"The output {path} already exists. Choose another, or overwrite it "
            "(overwrite=True, --overwrite)."
        )
    if not any((path / mark).is_file() for mark in MARKS):
        raise ExistingOutputError(
            f"The output {path} exists and is not a checkpoint "
            f"(it has none of {', '.join(MARKS)}), so it is not overwritten. Remove it "
            "yourself, or choose another."
        )


def write_json(path: Path, values: Any) -> None:
    """Writes JSON with sorted keys and a final newline."""
    text = json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        CheckpointError: the file is not a JSON object.
    """
    return read_json_file(path, CheckpointError)


def read_config(
    names: Iterable[str],
    places: Iterable[Path],
    given: str | Path | Config | None = None,
) -> tuple[Config, str | None]:
    """Finds and reads a checkpoint's config.

    Args:
        names: file names, the most likely one first.
        places: directories to look in.
        given: the file to read instead, or the config itself.

    Returns:
        The config, and the model class its `architectures` names, if any.

    Raises:
        CheckpointError: there is no such file.
        ConfigError: its values are wrong or not supported.
    """
    if isinstance(given, Config):
        return pop_class(given, Path("config"))
    places = list(dict.fromkeys(places))
    options = [place / name for place in places for name in names]
    path = Path(given) if given else next((p for p in options if p.is_file()), None)
    if path is None:
        raise CheckpointError(
            f"Expected {' or '.join(names)} in {places[0]}. Received: no such file. "
            f"Put one next to the weights, or name it: {CONFIG_OPTION}."
        )
    config = families.read_config(_of_file(path))
    _refuse_unsupported(config, path)
    return pop_class(config, path)


def _of_file(path: Path) -> dict[str, Any]:
    """Returns a config's values; the file's name says the family if they do not."""
    values = read_json_file(path)
    if "model_type" in values or "architectures" in values:
        return values
    named = [t for t, f in families.FAMILIES.items() if f.config_file == path.name]
    return {**values, "model_type": named[0]} if named else values


def pop_class(config: Config, path: Path) -> tuple[Config, str | None]:
    """Takes the model class out of what a config's file says.

    Args:
        config: with `architectures` among its extra keys.
        path: the file, for the message.

    Returns:
        The config without it, and the name; None if there is none.

    Raises:
        ConfigError: it is not a list of names.
    """
    extra = dict(config.extra)
    named = extra.pop("architectures", None) or [None]
    if not isinstance(named, list) or not isinstance(named[0], str | None):
        raise ConfigError(
            f"Expected architectures in {path} to be a list of names of classes. "
            f"Received: {str(named)[:80]}."
        )
    return config.replace(extra=extra), families.of(config).class_read(named[0])


def _refuse_unsupported(config: Config, path: Path) -> None:
    built = families.of(config).has_relative_positions
    if config.relative_positions and not built:
        raise ConfigError(
            "Expected position_embedding_type='absolute'. Received in "
            f"{path}: {config.position_embedding_type!r}. Relative positions of "
            f"{config.model_type} cannot be converted."
        )
    if config.add_cross_attention:
        raise ConfigError(
            f"Expected add_cross_attention=False. Received in {path}: True. "
            "Cross-attention cannot be converted."
        )


def sha256(path: Path) -> str:
    """Returns a file's SHA-256 in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def total_size(paths: Iterable[Path]) -> int:
    """Returns the bytes of some files together."""
    return sum(path.stat().st_size for path in paths)


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns any error of a library over a damaged file into one sentence.

    Args:
        path: the file being read.

    Raises:
        CheckpointError: the block raised an error that is not ours.
    """
    try:
        yield
    except KerasBertError:
        raise
    except Exception as error:  # libraries raise many types, some of their own
        refuse_other_kinds(path)
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(
            f"Expected readable weights in {path}. Received: {reason}. A file may be "
            "missing, cut short or damaged; copy it again."
        ) from error


def refuse_other_kinds(path: Path) -> None:
    """Raises if a file that cannot be read begins like something other than weights.

    Args:
        path: the file; it need not exist.

    Raises:
        CheckpointError: naming what it is, and what to do.
    """
    if not path.is_file():
        return
    with open(path, "rb") as file:
        begin = file.read(64).lstrip().lower()
    if not path.stat().st_size:
        raise CheckpointError(
            f"Expected readable weights in {path}. Received: an empty file. It is "
            "damaged; copy it again."
        )
    for mark, what in OTHER_KINDS.items():
        if begin.startswith(mark):
            raise CheckpointError(f"Expected weights in {path}. Received: {what}")


# === Tensors in files ===


def dtype(name: str) -> np.dtype:
    """Returns a NumPy dtype by name, bfloat16 included, little-endian."""
    if name != "bfloat16":
        return np.dtype(name).newbyteorder("<")
    import ml_dtypes  # comes with TensorFlow and JAX

    return np.dtype(ml_dtypes.bfloat16)


def is_float(dtype: np.dtype) -> bool:
    """Whether a dtype is that of a weight."""
    # The kind of ml_dtypes' bfloat16 is "V".
    return dtype.kind == "f" or dtype.name == "bfloat16"


def equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same bits."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    # As bytes, so that NaN equals itself.
    pairs = zip(one.pieces(), other.pieces(), strict=True)
    return all(bytes(raw(a)) == bytes(raw(b)) for a, b in pairs)


def prefix_of(names: Iterable[str], first: str, base: str, path: Path) -> str | None:
    """Returns what stands before the names of a model's weights.

    Wrappers of models put a name of their own there, such as "module." or "model.".

    Args:
        names: of all tensors.
        first: name of the word embeddings, without the model's own name.
        base: the model's own name, which a model without a head does not have.
        path: what is read, for the message.

    Returns:
        The prefix, `base` included if it is there; None without word embeddings.

    Raises:
        CheckpointError: there are several such models.
    """
    found = sorted({n.removesuffix(first) for n in names if n.endswith(first)})
    found = [p for p in found if not p or p[-1] == base[-1]]
    usual = [p for p in (base, "") if p in found]
    if usual or len(found) < 2:
        return next(iter([*usual, *found]), None)
    raise CheckpointError(
        f"Expected one model in {path}. Received word embeddings of several: "
        f"{', '.join(found)}. Save one of them in a file of its own."
    )


def raw(array: np.ndarray) -> memoryview:
    """Returns an array's bytes, for writing."""
    return memoryview(np.ascontiguousarray(array).reshape(-1).view("u1"))


def weight_map(index: Path) -> dict[str, Any]:
    """Returns what an index says: the file, or files, of each name.

    Raises:
        CheckpointError: it says nothing.
    """
    found = read_json(index).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise CheckpointError(
            f"Expected a weight_map in {index}; none is there. Name the directory, or "
            "its file of weights."
        )
    return found


def shard_paths(index: Path, names: Iterable[Any]) -> list[Path]:
    """Returns the files that an index names, which must be in its directory.

    Args:
        index: the index.
        names: the names, which may repeat.

    Raises:
        CheckpointError: a name is not that of a file in the directory.
    """
    found = sorted({str(name) for name in names})
    outside = [name for name in found if not _is_file_name(name)]
    if outside:
        received = ", ".join(name[:80] for name in outside[:5])
        raise CheckpointError(
            f"Expected plain file names in {index}. Received: {received}."
        )
    present = {path.name for path in index.parent.iterdir() if path.is_file()}
    absent = [name[:80] for name in found if name not in present]
    if absent:
        raise CheckpointError(
            f"Expected the shards that {index} names. Missing: {', '.join(absent)}."
        )
    return [index.parent / name for name in found]


def _is_file_name(name: str) -> bool:
    return Path(name).name == name != ".." and len(name.encode()) <= LONGEST_NAME


def read_shards(
    paths: Iterable[Path], read: Callable[[Path], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Returns the tensors of several files together.

    Args:
        paths: the files.
        read: reads one.

    Raises:
        CheckpointError: two files have a tensor of the same name.
    """
    tensors: dict[str, Tensor] = {}
    for path in paths:
        more = read(path)
        twice = sorted(tensors.keys() & more.keys())
        if twice:
            raise CheckpointError(
                f"Expected each tensor in one file. Received: {', '.join(twice)} again "
                f"in {path}. Copy the files again."
            )
        tensors |= more
    return tensors


def progress(names: Iterable[str], what: str, size: int) -> Iterable[str]:
    """Shows a progress bar while iterating over the tensors of a large file.

    Args:
        names: what to iterate over.
        what: the bar's label.
        size: bytes of all tensors; a small file has no bar.
    """
    if size < LARGE:
        return names
    from tqdm import tqdm

    # None: no bar unless the output is a terminal.
    return tqdm(names, desc=what, unit=" tensors", disable=None, leave=False)


def parse_size(size: int | str | None) -> int | None:
    """Returns a number of bytes.

    Args:
        size: a number, with or without a unit ("5GB", "500MB"); None stays None.

    Raises:
        InputError: something else.

    Example:
        >>> parse_size("500MB")
        500000000
    """
    if size is None:
        return None
    found = re.fullmatch(r"(\d+)\s*([KMG]?)B?", str(size).strip().upper())
    if not found or not int(found[1]):
        raise InputError(
            f"Expected a size such as '5GB' or '500MB'. Received: {size!r}."
        )
    return int(found[1]) * {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}[found[2]]


def shards(sizes: Mapping[str, int], limit: int | None = None) -> list[list[str]]:
    """Distributes tensors over files, in order.

    Args:
        sizes: bytes of each tensor.
        limit: maximum bytes of a file, unless a single tensor is larger.

    Returns:
        Names of the tensors of each file; at least one file.

    Example:
        >>> shards({"a": 4, "b": 5, "c": 20, "d": 1}, 10)
        [['a', 'b'], ['c'], ['d']]
    """
    found: list[list[str]] = [[]]
    room = float("inf") if limit is None else limit
    for name, size in sizes.items():
        if found[-1] and size > room:
            found.append([])
            room = limit
        found[-1].append(name)
        room -= size
    return found


# === Tokenizer ===


def tokenizer_files(*places: Path) -> list[Path]:
    """Returns the tokenizer's files, from the first directory that has any."""
    for place in places:
        found = [place / n for n in TOKENIZER_FILES if (place / n).is_file()]
        if found:
            return found
    return []


def tokenizer_name(file: Path) -> str:
    """Returns the usual name of a tokenizer's file.

    Example:
        >>> tokenizer_name(Path("assets/uncased_vocab.txt"))
        'vocab.txt'
    """
    is_vocabulary = file.suffix == ".txt" and "vocab" in file.name
    return VOCABULARY if is_vocabulary else file.name


def read_tokenizer(
    files: Iterable[Path], config: Config, given: Mapping[str, Any] | None = None
) -> TokenizerFolder | None:
    """Returns what tokenizer files say.

    Args:
        files: a source's tokenizer files.
        config: the model's config.
        given: what other files of the source say about its tokenizer.

    Returns:
        None if it is not a WordPiece tokenizer, or one that this package cannot read,
        which is said.
    """
    try:
        return find_tokenizer(files, config, given)
    except InputError as error:
        log.warning("The tokenizer is copied as it is. %s", error)
        return None


def find_tokenizer(
    files: Iterable[Path], config: Config, given: Mapping[str, Any] | None = None
) -> TokenizerFolder | None:
    """Returns what tokenizer files say; see `read_tokenizer`.

    Raises:
        InputError: this package cannot read them.
    """
    named = {tokenizer_name(file): file for file in files}
    found = named.get(FAST) or named.get(VOCABULARY)
    if found is None or families.of(config).tokenizer != "wordpiece":
        return None
    read = read_folder(found.parent if found.name in TOKENIZER_FILES else found)
    return read._replace(settings=read.settings | (given or {}))


def copy_tokenizer(
    files: Iterable[Path],
    folder: Path,
    config: Config,
    *,
    describe: bool,
    given: Mapping[str, Any] | None = None,
) -> None:
    """Copies tokenizer files, and writes those that are missing.

    Args:
        files: the source's tokenizer files.
        folder: the directory to copy them to.
        config: gives the maximum length.
        describe: write a `tokenizer_config.json` if the source has none; otherwise the
            vocabulary alone must have all tokens.
        given: what other files of the source say about its tokenizer.
    """
    named = {tokenizer_name(file): file for file in files}
    for name, file in named.items():
        shutil.copyfile(file, folder / name)
    found = read_tokenizer(named.values(), config, given)
    if found is None:
        return
    if VOCABULARY not in named or not describe:
        text = vocabulary_text(found.all_tokens)
        (folder / VOCABULARY).write_text(text, "utf-8", newline="\n")
    if describe and SETTINGS not in named:
        names = ("do_lower_case", "strip_accents")
        settings = {
            **{name: found.settings[name] for name in names if name in found.settings},
            "model_max_length": min(
                config.max_length, found.settings.get("model_max_length", NO_LIMIT)
            ),
            "tokenizer_class": families.of(config).tokenizer_class,
        }
        write_json(folder / SETTINGS, settings)
    if describe and not _is_same(read_folder(folder), found):
        # The files mean something else next to those of this format.
        for name, text in folder_texts(found).items():
            (folder / name).write_text(text, "utf-8", newline="\n")


def _is_same(first: TokenizerFolder, second: TokenizerFolder) -> bool:
    def essence(folder: TokenizerFolder) -> tuple:
        others = {"model_max_length": 0, "added_tokens": ()}
        settings = DEFAULTS | folder.settings | others
        return folder.all_tokens, folder.added_tokens, settings

    return essence(first) == essence(second)
