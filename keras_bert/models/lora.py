"""Adapters of low rank (LoRA): added to a model, merged, kept in files of PEFT.

Source: Hu et al. 2021 (arXiv:2106.09685).
"""

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_bert.errors import ConfigError
from keras_bert.layers.dense import Dense
from keras_bert.models.quantization import merged_weight

TARGETS = ("query", "value")
# Heads that are pretrained too, and stay as they are.
PRETRAINED = (
    *("pretraining", "sentence_order", "masked_lm", "lm_head", "causal_lm"),
    "next_sentence",
)


def add_lora(
    model: Any,
    rank: int = 8,
    *,
    alpha: float | None = None,
    dropout: float = 0.0,
    targets: Sequence[str] | None = None,
    seed: int | None = None,
) -> None:
    """Adds adapters to dense layers of the encoder, and freezes everything else in it.

    What is trained then is the adapters, the head, and a pooler that the checkpoint did
    not hold; a head of a language model is frozen as well. Compile the model
    afterwards. `save_pretrained` writes kernels with their adapters merged.

    Args:
        model: a model of this package.
        rank: of the adapters.
        alpha: the adapter is scaled by `alpha / rank`; None is twice the rank.
        dropout: of the inputs of the adapters, in [0, 1).
        targets: regular expressions of the paths of layers, such as "query" or
            "attention/"; "." takes all dense layers of the blocks, and None "query" and
            "value", or "qkv" where these are one matrix.
        seed: of the initial values; None takes the model's.

    Raises:
        ConfigError: the model has adapters, a number is out of range, or a target
            matches no layer.

    Example:
        >>> from keras_bert import BertConfig, BertForSequenceClassification
        >>> config = BertConfig.preset("tiny", vocab_size=37, num_labels=3)
        >>> model = BertForSequenceClassification(config)
        >>> model.add_lora(8, targets=["query", "value"])
        >>> sum(int(np.prod(v.shape)) for v in model.trainable_variables)
        8579
    """
    if targets is None:
        targets = ("qkv",) if "attention" in model.config.fused else TARGETS
    layers = _targeted(model, targets)
    _check(model, rank, alpha, dropout)
    seed = model.seed if seed is None else seed
    kept = [] if model.kind in PRETRAINED else _new_weights(model)
    frozen = [v for v in model.trainable_variables if not _among(v, kept)]
    for layer in layers:
        layer.enable_lora(
            rank,
            lora_alpha=2 * rank if alpha is None else alpha,
            a_initializer=_initializer(seed, layer.path),
        )
        layer.adapter_dropout = dropout
    _set_trainable(model, frozen, False)
    model.frozen_by_lora = frozen


def merge_lora(model: Any) -> None:
    """Adds adapters to their kernels, in place, and takes them away.

    Weights that the adapters had frozen can be trained again; compile the model before.

    Args:
        model: a model of this package.

    Raises:
        ConfigError: it is quantized.
    """
    for layer in adapted_layers(model):
        weight, value = merged_weight(layer)
        weight.assign(value)
        layer._tracker.unlock()
        for name in [name for name in vars(layer) if _NAME.fullmatch(name)]:
            layer._untrack_variable(getattr(layer, name))
            setattr(layer, name, None)
        layer._tracker.lock()
        layer.lora_enabled, layer.lora_rank, layer.lora_alpha = False, None, None
        weight.trainable = True
    _set_trainable(model, model.frozen_by_lora, True)
    model.frozen_by_lora = []


def adapted_layers(model: Any) -> list[Any]:
    """Returns the layers of a model that have an adapter."""
    return [x for x in model._flatten_layers() if getattr(x, "lora_enabled", False)]


def trained_share(model: Any) -> tuple[int, int]:
    """Returns the numbers of weights that are trained, and of all, without adapters."""
    of = [v for v in model.weights if "/lora_" not in v.path]
    trained, everything = (
        sum(int(np.prod(v.shape)) for v in variables)
        for variables in (model.trainable_variables, of)
    )
    return trained, everything


_NAME = re.compile("lora_(kernel|embeddings)_[ab]")


def _targeted(model: Any, targets: Sequence[str]) -> list[Dense]:
    """Returns the layers that targets match.

    Raises:
        ConfigError: one matches none.
    """
    blocks = [x for b in model.encoder.blocks for x in b._flatten_layers()]
    layers = {x.path: x for x in blocks if isinstance(x, Dense)}
    found: dict[str, Dense] = {}
    for target in targets:
        try:
            matched = {path: x for path, x in layers.items() if re.search(target, path)}
        except re.error:
            matched = {}
        if not matched:
            names = sorted({path.split("/", 1)[1] for path in layers})
            raise ConfigError(
                f"Expected targets among {', '.join(names)}. Received: {target!r}."
            )
        found |= matched
    return [layer for path, layer in layers.items() if path in found]


def _check(model: Any, rank: int, alpha: float | None, dropout: float) -> None:
    wrong = {
        "a model without adapters": bool(adapted_layers(model)),
        f"a rank of 1 or more, at most {model.config.hidden_size}": not (
            1 <= rank <= model.config.hidden_size
        ),
        "alpha above 0": alpha is not None and not 0 < alpha < float("inf"),
        "dropout in [0, 1)": not 0 <= dropout < 1,
    }
    for expected, failed in wrong.items():
        if failed:
            raise ConfigError(
                f"Expected {expected} for LoRA. Received: rank={rank}, alpha={alpha}, "
                f"dropout={dropout}, {len(adapted_layers(model))} adapters."
            )


def _new_weights(model: Any) -> list[Any]:
    """Returns the weights of the head, and those that no checkpoint had."""
    encoder, pooler = model.encoder, model.encoder.pooler
    pretrained = {id(v) for v in encoder.weights}
    if pooler is not None and "pooler" in model.newly_initialized:
        pretrained -= {id(v) for v in pooler.weights}
    return [v for v in model.weights if id(v) not in pretrained]


def _among(variable: Any, variables: Sequence[Any]) -> bool:
    return any(variable is other for other in variables)


def _initializer(seed: int | None, path: str) -> keras.Initializer:
    """Returns the uniform distribution that PEFT starts from, `±1/sqrt(inputs)`."""
    if seed is not None:  # adapters of equal shape differ
        seed = zlib.crc32(f"{seed}/{path}/lora".encode()) & 0x7FFFFFFF
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed=seed)


def _set_trainable(model: Any, variables: Sequence[Any], value: bool) -> None:
    for variable in variables:
        variable.trainable = value
    # What was traced before trains other weights.
    model.train_function = model.test_function = model.predict_function = None


# === Files ===


def save_adapter(
    model: Any, path: str | Path, *, base: str = "", overwrite: bool = False
) -> Path:
    """Writes the adapters and the trained head as PEFT does.

    Args:
        model: with adapters.
        path: the directory, with `adapter_config.json` and `adapter_model.safetensors`;
            it appears whole or not at all.
        base: path or name of the checkpoint that the adapters are for.
        overwrite: replace a directory of adapters.

    Returns:
        The directory.

    Raises:
        ConfigError: the model has no adapters of `add_lora`, or of several ranks.
        CheckpointError: PEFT has no place for a weight of the head.
        ExistingOutputError: the directory is there and `overwrite` is False.
    """
    from keras_bert.checkpoints import adapters

    layers = adapted_layers(model)
    kinds = {
        (x.lora_rank, x.lora_alpha, getattr(x, "adapter_dropout", 0)) for x in layers
    }
    if len(kinds) != 1 or not all(isinstance(layer, Dense) for layer in layers):
        raise ConfigError(
            "Expected a model with adapters of one rank, as add_lora makes them. "
            f"Received: {len(layers)} adapters of {len(kinds)} kinds."
        )
    numpy = ops.convert_to_numpy
    pairs = {
        layer._kernel.path: (numpy(layer.lora_kernel_a), numpy(layer.lora_kernel_b))
        for layer in layers
    }
    head = [v for v in model.trainable_variables if "/lora_" not in v.path]
    made = adapters.Adapters(*kinds.pop(), pairs, {v.path: numpy(v) for v in head})
    return adapters.write(
        path, made, model.config, model.architecture, base=base, overwrite=overwrite
    )


def load_adapter(model: Any, path: str | Path) -> None:
    """Adds the adapters of a directory of PEFT, and takes the head in it.

    Args:
        model: of the checkpoint that the adapters were trained on; without adapters.
        path: the directory.

    Raises:
        CheckpointError: the files are damaged, of another model, or of a kind of
            adapter that is not computed here.
    """
    from keras_bert.checkpoints import adapters

    read = adapters.read(path, model.config, model.architecture)
    targets = [f"^{re.escape(p.removesuffix('/kernel'))}$" for p in read.pairs]
    model.add_lora(read.rank, alpha=read.alpha, dropout=read.dropout, targets=targets)
    for layer in adapted_layers(model):
        a, b = read.pairs[layer._kernel.path]
        layer.lora_kernel_a.assign(a)
        layer.lora_kernel_b.assign(b)
    variables = {v.path: v for v in model.weights}
    for name, value in read.head.items():
        variables[name].assign(value)
