"""Weights in other forms: in eight or four bits, or with adapters (LoRA)."""

from typing import Any

import keras
from keras import ops

from keras_bert.errors import ConfigError, choose

MODES = ("int8", "int4")
_KINDS = (keras.layers.Dense, keras.layers.Embedding)


def quantize(model: keras.Model, mode: str = "int8") -> None:
    """Stores dense kernels and embedding tables in fewer bits, in place.

    For inference; `.keras` files, `save_weights` and SavedModels keep it, and
    `save_pretrained`, whose formats are floats, refuses. LayerNorm and biases stay as
    they are. Keras' own `Model.quantize` stops at the first layer that has weights of
    another kind, or none.

    Args:
        model: a model of this package.
        mode: "int8" or "int4".

    Raises:
        UnknownNameError: there is no such mode.
        ConfigError: the model is quantized already.
    """
    choose("mode", mode, MODES)
    if mode_of(model):
        raise ConfigError(
            f"Expected a model in floats. Received: one in {mode_of(model)}. Load it "
            "again to quantize it otherwise."
        )
    for layer in _layers(model):
        layer.quantize(mode, type_check=False)  # word embeddings are a subclass
    # What was traced before computes in floats.
    model.train_function = model.test_function = model.predict_function = None


def mode_of(model: keras.Model) -> str | None:
    """Returns how a model was quantized, if it was.

    Example:
        >>> from keras_bert import BertConfig, BertModel
        >>> model = BertModel(BertConfig.preset("tiny", vocab_size=7))
        >>> model.quantize("int8")
        >>> mode_of(model)
        'int8'
    """
    modes = (layer.quantization_mode for layer in _layers(model))
    return next((mode for mode in modes if mode), None)


def merged_weights(model: keras.Model) -> dict[str, Any]:
    """Returns every weight as the model applies it, by path.

    Args:
        model: a model of this package. A kernel or table and its adapter
            (`enable_lora`) are one weight, as in checkpoints.

    Raises:
        ConfigError: the model is quantized.
    """
    if mode_of(model):
        raise ConfigError(
            f"Expected a model with weights in floats. Received: one in "
            f"{mode_of(model)}. Do this before it is quantized."
        )
    weights = {weight.path: weight.value for weight in model.weights}
    for layer in _layers(model):
        if layer.lora_enabled:
            weight, value = merged_weight(layer)
            weights[weight.path] = value
    return {path: x for path, x in weights.items() if "/lora_" not in path}


def merged_weight(layer: Any) -> tuple[Any, Any]:
    """Returns the kernel or table of a layer, and its value with the adapter added.

    Raises:
        ConfigError: the layer is quantized.
    """
    if layer.quantization_mode:
        raise ConfigError(
            f"Expected a kernel in floats to merge an adapter into. Received: "
            f"{layer.path} in {layer.quantization_mode}."
        )
    is_table = isinstance(layer, keras.layers.Embedding)
    kind = "embeddings" if is_table else "kernel"
    weight, a, b = (
        getattr(layer, name)
        for name in (f"_{kind}", f"lora_{kind}_a", f"lora_{kind}_b")
    )
    # In float32, where the layer's own sum would be in its compute dtype.
    adapter = ops.matmul(a, b) * (layer.lora_alpha / layer.lora_rank)
    return weight, ops.cast(weight + adapter, weight.dtype)


def has_adapters(model: keras.Model) -> bool:
    """Whether a layer of the model has an adapter."""
    return any(layer.lora_enabled for layer in _layers(model))


def _layers(model: keras.Model) -> list[Any]:
    return [layer for layer in model._flatten_layers() if isinstance(layer, _KINDS)]
