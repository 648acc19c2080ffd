"""KerasHub's presets: `config.json`, `model.weights.h5`, a task's own files.

The weights of the backbone and of a task are in two files, in Keras' layout; the
hyper-parameters are those of the serialized layers in `config.json` and `task.json`.
What KerasHub has no place for, such as names of labels, goes into `metadata.json`. Its
classes are named after the family and the task.

Source: keras_hub `models/*/*.py`, `utils/preset_utils.py`.
"""

import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from keras_bert import families
from keras_bert.checkpoints import files, hdf5, placeholder
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.config import ACTIVATIONS, GELU_FORMS, Config
from keras_bert.errors import CheckpointError
from keras_bert.families.family import Family
from keras_bert.tokenizer_folder import (
    DEFAULTS,
    SPECIAL_TOKENS,
    TokenizerFolder,
    keras_hub_length,
    vocabulary_text,
)

log = logging.getLogger(__name__)

FORMAT = "keras_hub"
LIBRARY = "KerasHub"
CONFIG, TASK, METADATA = "config.json", "task.json", "metadata.json"
TOKENIZER, PREPROCESSOR = "tokenizer.json", "preprocessor.json"
WEIGHTS, TASK_WEIGHTS = "model.weights.h5", "task.weights.h5"
VOCABULARY = "assets/tokenizer/vocabulary.txt"
OURS = "keras_bert"  # our key in metadata.json

GELU_ADVICE = (
    " convert(…, gelu='tanh') or keras-bert convert --gelu tanh writes it all the "
    "same, with hidden states up to about 1e-3 apart, and measures by how much."
)
# Config fields by KerasHub's names.
FIELDS = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "hidden_dim": "hidden_size",
    "intermediate_dim": "intermediate_size",
    "dropout": "hidden_dropout_prob",
    "max_sequence_length": "max_position_embeddings",
    "num_segments": "type_vocab_size",
}
# KerasHub's task by kind of head, and the kind of head by task. A task without weights
# of its own is an encoder.
TASKS = {
    "masked_lm": "MaskedLM",
    "lm_head": "MaskedLM",
    "causal_lm": "MaskedLM",
    "sequence_classification": "TextClassifier",
}
KINDS = {
    "MaskedLM": "masked_lm",
    "TextClassifier": "sequence_classification",
    "Classifier": "sequence_classification",
    "TextEmbedder": "encoder",
}
MODULES = {  # below its family's
    "Backbone": "backbone",
    "MaskedLM": "masked_lm",
    "TextClassifier": "text_classifier",
    "Tokenizer": "tokenizer",
    "MaskedLMPreprocessor": "masked_lm_preprocessor",
    "TextClassifierPreprocessor": "text_classifier_preprocessor",
}

# In a file, Keras names a group after a layer's class and attributes.
GROUPS = {
    "token_embedding": "reversible_embedding",
    "position_embedding": "position_embedding",
    "segment_embedding": "embedding",
    "embeddings_layer_norm": "layer_normalization",
    "pooled_dense": "dense",
    "mlm_head": "masked_lm_head",
    "logits": "dense",
}
BLOCK, LAYER = "transformer_encoder", "transformer_layer_"
ATTRIBUTES = {
    "query": "query_dense",
    "key": "key_dense",
    "value": "value_dense",
    "attention_output": "output_dense",
}
TASK_LAYERS = ("mlm_head", "logits")
TASK_PREFIX = "task/"  # of unknown names in the task's file
STATE = (f"{TASK_PREFIX}optimizer/", "optimizer/")  # of a compiled model
SECOND = ("bias", "beta")  # a layer's variables are numbered


def h5_name(path: str) -> str:
    """Returns the name of a variable in a weights file.

    Args:
        path: the variable's path in KerasHub's model.

    Example:
        >>> h5_name("transformer_layer_1/self_attention_layer/query/bias")
        'layers/transformer_encoder_1/_self_attention_layer/query_dense/vars/1'
    """
    layer, *inside, variable = path.split("/")
    number = "1" if variable in SECOND else "0"
    group = GROUPS.get(layer) or _block(layer)
    inside = [ATTRIBUTES.get(name, f"_{name}") for name in inside]
    return "/".join(["layers", group, *inside, "vars", number])


def _block(layer: str) -> str:
    i = layer.removeprefix(LAYER)
    return BLOCK if i == "0" else f"{BLOCK}_{i}"


def _is_of_task(name: str) -> bool:
    return name.split("/")[0] in TASK_LAYERS


# === Reading ===


def detect(path: Path) -> bool:
    """Whether a path is a preset's directory or its weights file."""
    main = hdf5.main_file(path) if path.is_dir() else path
    named = main.name in (WEIGHTS, TASK_WEIGHTS, hdf5.INDEX) and main.is_file()
    config = main.parent / CONFIG
    return named and config.is_file() and "registered_name" in files.read_json(config)


def read(path: Path, *, config_file: str | Path | Config | None = None) -> Checkpoint:
    """Opens a preset.

    Args:
        path: the directory, or its weights file.
        config_file: the `config.json`, if it is elsewhere, or a config.

    Raises:
        CheckpointError: it is damaged, or the preset of another model.
    """
    folder = path if path.is_dir() else path.parent
    given = config_file if isinstance(config_file, Config) else None
    file = folder / CONFIG if given or config_file is None else Path(config_file)
    family, backbone = _backbone_of(file)
    task, settings = _task(folder, family)
    config, head = _config(folder, family, backbone, task, settings)
    config = given or config
    shards = hdf5.shard_files(hdf5.main_file(folder))
    tensors = _named(hdf5.read(shards), config, of_task=False)
    own = [folder / TASK_WEIGHTS] if (folder / TASK_WEIGHTS).is_file() else []
    tensors |= _named(hdf5.read(own), config, of_task=True)
    ignored = {n: files.OPTIMIZER_STATE for n in tensors if n.startswith(STATE)}
    ignored |= placeholder.find(tensors, config, FORMAT)
    vocabulary = folder / VOCABULARY
    return Checkpoint(
        path=path,
        format=FORMAT,
        config=config,
        tensors={name: t for name, t in tensors.items() if name not in ignored},
        head=head,
        ignored=ignored,
        files=[*shards, *own],
        tokenizer_files=[vocabulary] if vocabulary.is_file() else [],
        tokenizer_settings=read_settings(folder, family),
    )


def _serialized(path: Path, classes: Iterable[str]) -> tuple[str, dict[str, Any]]:
    """Returns a serialized layer's class and config; the class must be one of some."""
    values = files.read_json(path)
    name = str(values.get("class_name"))
    if name not in classes or not isinstance(values.get("config"), dict):
        raise CheckpointError(
            f"Expected a KerasHub {' or '.join(classes)} in {path}. Received: {name}."
        )
    return name, values["config"]


def _backbone_of(path: Path) -> tuple[Family, dict[str, Any]]:
    """Returns the family of a preset, and its backbone's config."""
    known = {f"{f.class_prefix}Backbone": f for f in families.with_place_in(FORMAT)}
    name, config = _serialized(path, known)
    return known[name], config


def _task(folder: Path, family: Family) -> tuple[str | None, dict[str, Any]]:
    """Returns a preset's task without the family's name, or None, and its config."""
    path = folder / TASK
    if not path.is_file():
        return None, {}
    known = {f"{family.class_prefix}{task}": task for task in KINDS}
    name, settings = _serialized(path, known)
    if settings.get("activation", "linear") not in ("linear", None):
        raise CheckpointError(
            f"Expected a classifier that returns logits in {path}. Received: "
            f"activation={settings['activation']!r}. Save the task without it."
        )
    return known[name], settings


def _config(
    folder: Path,
    family: Family,
    backbone: Mapping[str, Any],
    task: str | None,
    settings: Mapping[str, Any],
) -> tuple[Config, str]:
    """Returns the config that a preset's files add up to, and the model class."""
    kind = KINDS.get(task or "", "encoder")
    head = family.class_name(kind)
    dropout = backbone.get("dropout", 0.1)
    values: dict[str, Any] = {
        **{ours: backbone[n] for n, ours in FIELDS.items() if n in backbone},
        **family.keras_hub.numbers,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
    }
    if kind == "masked_lm":
        values |= family.keras_hub.masked_lm_numbers
    if "num_classes" in settings:
        values["num_labels"] = settings["num_classes"]
    if settings.get("dropout", values["hidden_dropout_prob"]) != dropout:
        values["classifier_dropout"] = settings["dropout"]
    metadata = folder / METADATA
    extra = files.read_json(metadata).get(OURS, {}) if metadata.is_file() else {}
    if not isinstance(extra, dict):
        raise CheckpointError(f"Expected a JSON object as {OURS} in {metadata}.")
    config = family.config.from_dict({**values, **extra})
    config, declared = files.pop_class(config, metadata)
    return config, (declared or head) if task else head


def _named(
    stored: Mapping[str, Tensor], config: Config, *, of_task: bool
) -> dict[str, Tensor]:
    """Renames the tensors of one of the two files to KerasHub's variable paths."""
    known = families.of(config).names_in(FORMAT, config)
    names = {h5_name(n): n for n in known if _is_of_task(n) == of_task}
    prefix = TASK_PREFIX if of_task else ""
    return {names.get(n, prefix + n): tensor for n, tensor in stored.items()}


# === Writing ===


def write(
    folder: Path, config: Config, head: str, tensors: Mapping[str, Tensor]
) -> list[str]:
    """Writes a preset: the backbone, and a task for a model with a head.

    Args:
        folder: an existing directory.
        config: the model's config.
        head: its class.
        tensors: by the paths of KerasHub's variables.

    Returns:
        Warnings.

    Raises:
        CheckpointError: KerasHub's models have other constants.
    """
    _check_constants(config, head)
    tensors, warnings = placeholder.fill(tensors, config, FORMAT, LIBRARY)
    dtype = next(iter(tensors.values())).dtype.name
    backbone = _backbone(config, dtype)
    own = {n: t for n, t in tensors.items() if _is_of_task(n)}
    body = {n: t for n, t in tensors.items() if n not in own}
    hdf5.write(folder / WEIGHTS, body, h5_name)
    files.write_json(folder / CONFIG, backbone)
    files.write_json(folder / METADATA, _metadata(config, head, tensors))
    task = TASKS.get(families.of(config).models.get(head))
    if task is not None:
        hdf5.write(folder / TASK_WEIGHTS, own, h5_name)
        files.write_json(folder / TASK, _task_config(config, task, backbone))
    return [*warnings, *_ignored_settings(config)]


def _check_constants(config: Config, head: str) -> None:
    form = {
        "hidden_act": ACTIVATIONS[config.hidden_act],
        "layer_norm_eps": config.layer_norm_eps,
        "is_decoder": config.is_decoder,
    }
    family = families.of(config)
    fixed, name = family.keras_hub, f"KerasHub's {family.class_prefix}"
    advice = GELU_ADVICE if form["hidden_act"] in GELU_FORMS.values() else ""
    _refuse(f"{name}Backbone", form, {**fixed.numbers, "is_decoder": False}, advice)
    if "masked_lm" in family.parts_of(head):
        form = {
            "masked_lm_act": ACTIVATIONS[config.transform_act],
            "masked_lm_layer_norm_eps": config.transform_eps,
        }
        advice = " keras-bert convert --drop masked_lm converts the encoder."
        _refuse(f"the head of {name}MaskedLM", form, fixed.masked_lm_numbers, advice)


def _refuse(what: str, form: Mapping, fixed: Mapping, advice: str) -> None:
    other = {name: value for name, value in form.items() if value != fixed[name]}
    if other:
        expected = ", ".join(f"{name}={fixed[name]}" for name in other)
        received = ", ".join(f"{name}={value}" for name, value in other.items())
        raise CheckpointError(
            f"Expected {expected}, which are constants of {what}. "
            f"Received: {received}. The result would compute something else.{advice}"
        )


def _ignored_settings(config: Config) -> list[str]:
    if config.attention_probs_dropout_prob == config.hidden_dropout_prob:
        return []
    return [
        f"KerasHub trains with one dropout, {config.hidden_dropout_prob}; "
        f"attention_probs_dropout_prob={config.attention_probs_dropout_prob} is kept "
        "in metadata.json."
    ]


def _layer(family: Family, what: str, dtype: str, **config: Any) -> dict[str, Any]:
    """Returns a layer as Keras serializes it; `what` is a key of `MODULES`."""
    folder, name = family.keras_hub.module, f"{family.class_prefix}{what}"
    module = f"{folder}_{MODULES[what]}"
    policy = {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": dtype},
        "registered_name": None,
    }
    common = {"name": module, "trainable": True, "dtype": policy}
    return {
        "module": f"keras_hub.src.models.{folder}.{module}",
        "class_name": name,
        "config": {**common, **config},
        "registered_name": f"keras_hub>{name}",
    }


def _backbone(config: Config, dtype: str) -> dict[str, Any]:
    values = {name: getattr(config, ours) for name, ours in FIELDS.items()}
    return _layer(families.of(config), "Backbone", dtype, **values)


def _task_config(config: Config, task: str, backbone: dict) -> dict[str, Any]:
    layer = _layer(families.of(config), task, "float32")
    settings: dict[str, Any] = {
        "backbone": backbone,
        "preprocessor": None,
        "name": layer["config"]["name"],
    }
    if task == "TextClassifier":
        settings |= {
            "num_classes": config.num_labels,
            "activation": "linear",
            "dropout": config.head_dropout,
        }
    return {**layer, "config": settings}


def _metadata(
    config: Config, head: str, tensors: Mapping[str, Tensor]
) -> dict[str, Any]:
    """Returns KerasHub's facts about a preset, and what it has no place for."""
    body = (t for n, t in tensors.items() if not _is_of_task(n))
    return {
        "parameter_count": sum(math.prod(t.shape) for t in body),
        "tasks": ["MaskedLM", "TextClassifier", "TextEmbedder"],
        OURS: {**_unplaced(config), "architectures": [head]},
    }


def _unplaced(config: Config) -> dict[str, Any]:
    """Returns the fields that KerasHub does not have and that are not the default."""
    family = families.of(config)
    plain = family.config().to_dict()
    plain["attention_probs_dropout_prob"] = config.hidden_dropout_prob
    placed = {*FIELDS.values(), "model_type", "label2id"}
    placed |= {*family.keras_hub.numbers, *family.keras_hub.masked_lm_numbers}
    values = config.to_dict()
    return {
        name: values[name]
        for name in values
        if name not in placed and (name not in plain or plain[name] != values[name])
    }


# === Tokenizer ===


def copy_tokenizer(found: TokenizerFolder, folder: Path, config: Config) -> None:
    """Writes the vocabulary and KerasHub's tokenizer and preprocessor.

    Args:
        found: the source's tokenizer.
        folder: a preset that `write` wrote.
        config: gives the maximum length.
    """
    (folder / VOCABULARY).parent.mkdir(parents=True)
    text = vocabulary_text(found.all_tokens)
    (folder / VOCABULARY).write_text(text, "utf-8", newline="\n")
    settings = DEFAULTS | found.settings
    named = {settings[name] for name in SPECIAL_TOKENS}
    others = [t.content for t in found.added_tokens if t.content not in named]
    if others:
        log.warning(
            "KerasHub's tokenizer does not look for added tokens in text: %s.",
            ", ".join(others[:9]),
        )
    family = families.of(config)
    tokenizer = _tokenizer(family, settings)
    files.write_json(folder / TOKENIZER, tokenizer)
    task = folder / TASK
    if task.is_file():
        values = files.read_json(task)
        task_name = values["class_name"].removeprefix(family.class_prefix)
        length = min(config.max_length, settings["model_max_length"])
        preprocessor = _preprocessor(task_name, tokenizer, config, length)
        values["config"]["preprocessor"] = preprocessor
        files.write_json(task, values)
        files.write_json(folder / PREPROCESSOR, preprocessor)


def read_settings(folder: Path, family: Family) -> dict[str, Any]:
    """Returns a preset's tokenizer settings under Hugging Face's names.

    Args:
        folder: the preset.
        family: the family of its model.
    """
    path = folder / TOKENIZER
    if not path.is_file():
        return {}
    _, values = _serialized(path, (f"{family.class_prefix}Tokenizer",))
    named = {"lowercase": "do_lower_case", "strip_accents": "strip_accents"}
    found = {n: bool(values[name]) for name, n in named.items() if name in values}
    return found | keras_hub_length(folder)


def _tokenizer(family: Family, settings: Mapping[str, Any]) -> dict[str, Any]:
    lowercase = bool(settings["do_lower_case"])
    # Google's tokenizer strips accents if it lowers case; KerasHub has two settings.
    strip = settings.get("strip_accents")
    return _layer(
        family,
        "Tokenizer",
        "int32",
        config_file=TOKENIZER,
        vocabulary=None,
        sequence_length=None,
        lowercase=lowercase,
        strip_accents=lowercase if strip is None else bool(strip),
        split=True,
        suffix_indicator="##",
        oov_token="[UNK]",
        special_tokens=None,
        special_tokens_in_strings=False,
    )


# The settings of a masked-LM preprocessor, as in BERT's pretraining.
MASKING = {
    "mask_selection_rate": 0.15,
    "mask_selection_length": 96,
    "mask_token_rate": 0.8,
    "random_token_rate": 0.1,
}


def _preprocessor(
    task: str, tokenizer: dict, config: Config, length: int
) -> dict[str, Any]:
    masking = MASKING if task == "MaskedLM" else {}
    return _layer(
        families.of(config),
        f"{task}Preprocessor",
        "float32",
        tokenizer=tokenizer,
        config_file=PREPROCESSOR,
        sequence_length=length,
        truncate="round_robin",
        **masking,
    )
