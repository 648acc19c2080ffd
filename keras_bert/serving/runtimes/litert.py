"""A model for LiteRT, the runtime of phones and small devices."""

import keras
import tensorflow as tf

from keras_bert.errors import ConfigError
from keras_bert.features import SERVED_INPUTS
from keras_bert.layers import activations
from keras_bert.models import PreTrainedModel


def litert_model(model: PreTrainedModel, length: int) -> bytes:
    """Returns a model as LiteRT, for one row of a fixed length.

    It uses only LiteRT's built-in operations, which every device has. They support
    neither rows of any length nor leaving padding out.

    Args:
        model: any model of this package.
        length: tokens of the row; shorter ones are padded, with attention_mask 0.

    Returns:
        The contents of a `.tflite` file with one signature, `serving_default`.

    Raises:
        ConfigError: Keras runs on another backend, or the model has choices.
    """
    if keras.backend.backend() != "tensorflow" or model.choices:
        raise ConfigError(
            "Expected Keras on TensorFlow and a model of rows for LiteRT. Received: "
            f"{type(model).__name__} on {keras.backend.backend()}."
        )
    specs = [tf.TensorSpec([1, length], tf.int32, name=name) for name in SERVED_INPUTS]

    def forward(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        from keras_bert.serving.graph.servable import named_outputs

        features = dict(zip(SERVED_INPUTS, inputs, strict=True))
        return named_outputs(model(features, training=False))

    function = tf.function(forward, input_signature=specs, autograph=False)
    state = tf.Module()  # the variables of a Keras model would be left out
    state.weights = [weight.value for weight in model.weights]
    with activations.forms(**_GELU):
        concrete = function.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], state)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter.convert()


# In the form that becomes LiteRT's own operation; it has no erf.
_GELU = {
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
}
