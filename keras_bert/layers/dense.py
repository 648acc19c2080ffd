"""A dense layer whose adapter (LoRA) computes next to its kernel."""

from typing import Any

import keras
from keras import ops

from keras_bert.layers.dropout import drop

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_bert")
class Dense(keras.layers.Dense):
    """Keras' layer; an adapter of `enable_lora` has a path of its own.

    Keras adds the adapter to the kernel, in the compute dtype: of a change that is
    small next to the kernel, bfloat16 loses most. A path of its own keeps it, costs
    less, and can have dropout.

    Attributes:
        adapter_dropout: fraction of the adapter's inputs set to zero in training.

    Call arguments:
        inputs: `(..., inputs)`.
        dropout_seed: see `DropoutSeed`; None drops nothing.
        training: with dropout.

    Source: Hu et al. 2021 (arXiv:2106.09685) equation 3; `lora/layer.py` of PEFT.
    """

    adapter_dropout = 0.0

    def call(
        self, inputs: Tensor, dropout_seed: Tensor | None = None, training: bool = False
    ) -> Tensor:
        if not self.lora_enabled:
            return super().call(inputs)
        given = inputs
        if training and dropout_seed is not None:
            place = f"{self.path}/adapter"
            given = drop(inputs, self.adapter_dropout, dropout_seed, place)
        change = ops.matmul(ops.matmul(given, self.lora_kernel_a), self.lora_kernel_b)
        scale = self.lora_alpha / self.lora_rank
        outputs = ops.matmul(inputs, self._kernel) + change * scale
        if self.bias is not None:
            outputs = outputs + ops.cast(self.bias, outputs.dtype)
        return outputs if self.activation is None else self.activation(outputs)

    def quantize(
        self, mode: Any = None, type_check: bool = True, **options: Any
    ) -> None:
        super().quantize(mode, type_check=False, **options)  # Keras checks the class

    def quantized_call(
        self, inputs: Tensor, dropout_seed: Tensor | None = None, training: bool = False
    ) -> Tensor:
        return super().quantized_call(inputs, training=training)
