"""Loading a checkpoint of any format into a model, and saving a model to one.

The only module that joins models and checkpoints. Of Keras it needs two things:
`variable.path` and `variable.assign`.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert import families
from keras_bert.checkpoints import files, formats
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.checkpoints.conversion import save
from keras_bert.checkpoints.matching import (
    PartMatch,
    check_match,
    listing,
    match_weights,
    resolve_ties,
)
from keras_bert.checkpoints.sentence_modules import SentenceModules
from keras_bert.checkpoints.translation import translate
from keras_bert.config import Config
from keras_bert.errors import (
    CheckpointError,
    ConfigError,
    InputError,
    KerasBertError,
    choose,
)
from keras_bert.families.family import CLASSIFIERS
from keras_bert.families.rows import Row
from keras_bert.hub import HUB, take_options
from keras_bert.hub import local_path as local_path

log = logging.getLogger(__name__)


class Arrays(Mapping):
    """Weights by variable path, read from the file when asked for.

    Args:
        tensors: by variable path.
    """

    def __init__(self, tensors: Mapping[str, Tensor]):
        self.tensors = tensors

    def __getitem__(self, path: str) -> np.ndarray:
        return self.tensors[path].load()

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


@dataclass
class Loaded:
    """A checkpoint as a model needs it.

    Args:
        config: its config, overrides applied.
        weights: arrays by variable path, read when asked for.
        newly_initialized: parts the model needs and the checkpoint lacks.
        unused: parts the checkpoint has and the model does not need.
    """

    config: Config
    weights: Mapping[str, np.ndarray]
    newly_initialized: list[str]
    unused: list[str]


# === Reading ===


def read_for(
    path: str | Path | Checkpoint,
    parts: Collection[str],
    *,
    family: str | None = None,
    ignore_mismatched_sizes: bool = False,
    **overrides: Any,
) -> Loaded:
    """Reads the parts a model needs from a checkpoint of any format.

    Args:
        path: a directory, a weights file, a TensorFlow prefix, or `hf://org/name`; or
            a checkpoint that `formats.read` returned.
        parts: names of the parts needed, of `Family.parts`; the encoder always is.
        family: the `model_type` the checkpoint must have; None takes any.
        ignore_mismatched_sizes: make a head new where the checkpoint's has another
            number of labels.
        **overrides: config fields to set differently.

    Returns:
        Config and weights. A part that is wholly absent is newly initialized, and a
        warning is logged.

    Raises:
        CheckpointError: a needed part is incomplete or misshapen, or has an unknown
            weight; or the head has another number of labels.

    Example:
        >>> read_for("ckpt/", ("encoder", "pooler"))  # doctest: +SKIP
    """
    if isinstance(path, Checkpoint):
        checkpoint, name = path, str(path.path)
    else:
        checkpoint, name = formats.read(path), str(path)
    _refuse_other_family(checkpoint, family)
    resolve_ties(checkpoint, parts)
    config = checkpoint.config.replace(**overrides)
    found = match_weights(checkpoint, config, parts)
    body = families.of(config).body(config)
    needed = [found.parts[name] for name in dict.fromkeys((*body, *parts))]
    newly_initialized = [
        part.name for part in needed if not part.found and part.name not in body
    ]
    newly_initialized += _resized(needed, checkpoint, ignore_mismatched_sizes)
    kept = [part for part in needed if part.name not in newly_initialized]
    check_match(checkpoint, config, kept, found.unexpected, "model")
    unused = [name for name in found.present if name not in (*parts, *body)]
    _tell(name, newly_initialized, unused)
    rows = [row for part in kept for row in part.rows]
    tensors = translate(checkpoint.tensors, rows, checkpoint.format, "keras", config)
    return Loaded(config, Arrays(tensors), newly_initialized, unused)


def _refuse_other_family(checkpoint: Checkpoint, family: str | None) -> None:
    found = families.of(checkpoint.config)
    if family not in (None, found.model_type):
        raise CheckpointError(
            f"Expected a checkpoint of a {family!r} model. Received one of a "
            f"{found.model_type!r} model in {checkpoint.path}. Load it with "
            f"{found.class_name('encoder')} or another class of its family."
        )


def _resized(
    needed: list[PartMatch], checkpoint: Checkpoint, ignore: bool
) -> list[str]:
    """Classifiers of another number of labels: an error, or new ones."""
    resized = [p for p in needed if p.name in CLASSIFIERS and p.misshapen and p.found]
    if resized and not ignore:
        details = "; ".join(f"{n}: {t}" for n, t in resized[0].misshapen.items())
        raise CheckpointError(
            f"Expected the head in {checkpoint.path} to have as many labels as the "
            f"model. {details}. Leave num_labels out to take the checkpoint's head, or "
            "pass ignore_mismatched_sizes=True to start with a new one."
        )
    return [part.name for part in resized]


def _tell(path: str | Path, newly_initialized: list[str], unused: list[str]) -> None:
    if newly_initialized:
        log.warning(
            "%s holds no %s that fits: new weights are drawn for it. Train it before "
            "using its outputs.",
            path,
            ", ".join(newly_initialized),
        )
    if unused:
        log.info("%s also holds %s, not used here.", path, ", ".join(unused))


CONFIG_FILES = ("config.json", "bert_config.json")


def read_config(
    path: str | Path, family: str | None = None, **overrides: Any
) -> Config:
    """Reads the config of a checkpoint; see `Config.from_pretrained`.

    Args:
        path: a checkpoint, a config's file, or a directory with one.
        family: the `model_type` it must have; None takes any.
        **overrides: config fields to set differently, and options of the download.
    """
    _refuse_arguments(overrides)
    downloading = take_options(overrides)
    place = local_path(path, CONFIG_FILES, **downloading)
    values = _values_in(place)
    if values and (str(path).startswith(HUB) or not _holds_weights(place)):
        config = families.read_config(values)
    else:
        config = formats.read(local_path(path, **downloading)).config
    if family not in (None, config.model_type):
        raise ConfigError(
            f"Expected the config of a {family!r} model. Received: that of a "
            f"{config.model_type!r} model, in {path}."
        )
    return config.replace(**overrides)


def _values_in(place: Path) -> dict[str, Any]:
    """Returns what a config's file says, or nothing if there is none."""
    options = [place] if place.suffix == ".json" else []
    options += [place / name for name in CONFIG_FILES]
    file = next((file for file in options if file.is_file()), None)
    values = files.read_json(file) if file else {}
    return {} if "registered_name" in values else values  # KerasHub's layers


def _holds_weights(place: Path) -> bool:
    try:
        return bool(formats.detect(place))
    except CheckpointError:
        return False


# === Into a model and out of it ===


def load_pretrained(
    model_class: Any,
    path: str | Path | Checkpoint,
    *,
    dtype: Any = None,
    seed: int | None = None,
    ignore_mismatched_sizes: bool = False,
    config: Config | None = None,
    config_file: str | Path | None = None,
    drop: Collection[str] = (),
    strict: bool = False,
    **overrides: Any,
) -> Any:
    """Builds a model from a checkpoint; see `PreTrainedModel.from_pretrained`.

    Args:
        model_class: has `parts_for` and is called with a config.
        path: a checkpoint of any format, see `read_for`.
        dtype: dtype policy of the model.
        seed: seed of parts that the checkpoint does not hold.
        ignore_mismatched_sizes: see `read_for`.
        config: instead of the one next to the weights.
        config_file, drop, strict: see `keras_bert.checkpoints.formats.read`.
        **overrides: config fields, options of the download, and `add_pooling_layer`
            for `BertModel`.

    Returns:
        The model.

    Raises:
        InputError: an argument of transformers that has another name here.
    """
    _refuse_arguments(overrides)
    reading: dict[str, Any] = {"config_file": config or config_file}
    reading |= {"drop": drop, "strict": strict}
    if config is not None:
        _check_config(config, config_file)
        overrides.setdefault("num_labels", config.num_labels)
    downloading = take_options(overrides)
    if isinstance(path, Checkpoint):
        checkpoint = path
    else:
        checkpoint = formats.read(local_path(path, **downloading), **reading)
    options = {"dtype": dtype, "seed": seed}
    own = {k: overrides.pop(k) for k in ("add_pooling_layer",) if k in overrides}
    parts = model_class.parts_for(**own)
    loaded = read_for(
        checkpoint,
        parts,
        family=model_class.family.model_type,
        ignore_mismatched_sizes=ignore_mismatched_sizes,
        **overrides,
    )
    model = model_class(loaded.config, **options, **own)
    assign(model.weights, loaded)
    model.newly_initialized = tuple(loaded.newly_initialized)
    modules = checkpoint.sentence_modules
    known = checkpoint.tokenizer_files, checkpoint.config, checkpoint.tokenizer_settings
    model.find_tokenizer = partial(_find_tokenizer, *known, modules)
    if modules is not None and modules.embeds and model.kind == "encoder":
        model.sentence_modules = modules
    return model


def load_encoder(
    model_class: Callable[[str], Any],
    path: str | Path | Checkpoint,
    needs_pooler: bool,
    **options: Any,
) -> Any:
    """Builds the encoder of a checkpoint of any family.

    Args:
        model_class: returns a model class by its name.
        path: see `load_pretrained`.
        needs_pooler: make one where the checkpoint has none, too.
        **options: of `load_pretrained`.

    Returns:
        The model of the kind "encoder"; with its pooler, if it has one.
    """
    if not isinstance(path, Checkpoint):
        names = ("drop", "strict")
        reading: dict[str, Any] = {k: options.pop(k) for k in names if k in options}
        file = options.pop("config_file", None)
        reading["config_file"] = options.pop("config", None) or file
        downloading = take_options(options)
        path = formats.read(local_path(path, **downloading), **reading)
    family = families.of(path.config)
    name = family.class_name("encoder")
    present = match_weights(path, path.config, family.parts_of(name)).present
    pooler = needs_pooler or "pooler" in present
    return load_pretrained(model_class(name), path, add_pooling_layer=pooler, **options)


def _find_tokenizer(
    paths: list[Path],
    config: Config,
    settings: Mapping[str, Any],
    modules: SentenceModules | None,
) -> Any:
    """Returns the tokenizer next to a checkpoint, or None if it cannot be used."""
    from keras_bert.tokenization import tokenizer_class

    try:
        found = files.find_tokenizer(paths, config, settings)
        if found is None:
            return None
        changes = modules.tokenizer_changes(found.settings) if modules else {}
        return tokenizer_class(config)(found.tokens, **found.settings | changes)
    except (KerasBertError, OSError) as error:
        log.info("The tokenizer of %s is not used. %s", paths[0].parent, error)
        return None


# What arguments of transformers' `from_pretrained` are here.
ARGUMENTS = {
    **dict.fromkeys(
        ("torch_dtype", "load_in_8bit", "load_in_4bit", "quantization_config"),
        "dtype=, a Keras dtype policy such as 'mixed_bfloat16', or model.quantize()",
    ),
    **dict.fromkeys(
        ("from_pt", "from_tf", "from_flax", "use_safetensors", "subfolder"),
        "the path alone: its format is recognized, or name the weights file",
    ),
    "resume_download": "none: a download always resumes",
    "proxies": "the environment variables HTTPS_PROXY and HTTP_PROXY",
    "use_auth_token": "token=",
    **dict.fromkeys(
        ("device_map", "low_cpu_mem_usage", "attn_implementation", "state_dict"),
        "none: leave it out",
    ),
}


def _refuse_arguments(arguments: Iterable[str]) -> None:
    for name in arguments:
        if name in ARGUMENTS:
            raise InputError(
                f"Expected {ARGUMENTS[name]}. Received: {name}=, an argument of "
                "transformers."
            )


def _check_config(config: Any, file: str | Path | None) -> None:
    if not isinstance(config, Config) or file is not None:
        also = " and config_file=" if file is not None else ""
        raise InputError(
            "Expected a config of this package as config=, which its class reads by "
            "from_pretrained(path), or a file as config_file=. Received: "
            f"{type(config).__name__}{also}."
        )


def assign(variables: Iterable[Any], loaded: Loaded) -> None:
    """Assigns weights to a model's variables, one at a time.

    Args:
        variables: `model.weights`, each with `path` and `assign`.
        loaded: what `read_for` returned.

    Raises:
        CheckpointError: a variable has no weight although its part is not newly
            initialized, or a weight no variable.
    """
    variables = {v.path: v for v in variables}
    known = {
        row.placements["keras"].name
        for row in _rows(loaded.config, loaded.newly_initialized)
    }
    lost = sorted(variables.keys() - loaded.weights.keys() - known)
    lost += sorted(loaded.weights.keys() - variables.keys())
    if lost:
        raise CheckpointError(
            f"Expected model and weights to have the same names. Received: {lost[:5]}. "
            "This is an error in the model or in its table of weights."
        )
    odd = []
    for path, weight in loaded.weights.items():
        variables[path].assign(weight)
        odd += [] if np.isfinite(weight).all() else [path]
    if odd:
        log.warning("Weights that are NaN or infinite: %s.", listing(odd))


def _rows(config: Config, parts: Iterable[str]) -> list[Row]:
    return families.of(config).rows_of(parts, config)


def save_pretrained(
    model: Any,
    path: str | Path,
    format: str = "keras",
    *,
    tokenizer: Any = None,
    overwrite: bool = False,
    file_format: str = "safetensors",
    max_shard_size: int | str | None = None,
) -> Path:
    """Writes a model as a directory; see `PreTrainedModel.save_pretrained`.

    Args:
        model: has `config`, `parts_held`, `merged_weights` and
            `modules_to_save`.
        path: the directory; it appears whole or not at all.
        format: a name of `keras_bert.checkpoints.formats.FORMATS`.
        tokenizer: has `save_pretrained`; written next to the weights.
        overwrite: replace an existing checkpoint directory.
        file_format: of Hugging Face weights, "safetensors" or "bin".
        max_shard_size: of a file of weights, in bytes or as "5GB"; None takes the
            format's own.

    Returns:
        The directory.

    Raises:
        ExistingOutputError: the directory is there and `overwrite` is False.
    """
    choose("format", format, formats.FORMATS)
    limit = files.parse_size(max_shard_size)
    body = families.of(model.config).body(model.config)
    rows = _rows(model.config, dict.fromkeys((*body, *model.parts_held)))
    weights = {path: _tensor(x) for path, x in model.merged_weights().items()}
    modules = model.modules_to_save()
    tensors = translate(weights, rows, "keras", format, model.config)
    with files.new_directory(path, overwrite) as folder:
        name = model.architecture
        options = {"file_format": file_format, "max_shard_size": limit}
        save(folder, format, model.config, name, tensors, **options)
        if tokenizer is not None:
            formats.save_tokenizer(format, tokenizer, folder, model.config)
        formats.save_modules(format, modules, folder)
    return Path(path)


def _tensor(weight: Any) -> Tensor:
    from keras import backend, ops

    name = backend.standardize_dtype(weight.dtype)
    dtype = np.dtype(name) if name != "bfloat16" else _bfloat16()
    return Tensor(tuple(weight.shape), dtype, lambda: ops.convert_to_numpy(weight))


def _bfloat16() -> np.dtype:
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)
