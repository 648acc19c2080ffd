"""A model once more, in another dtype policy."""

from keras_bert.models import PreTrainedModel
from keras_bert.models.quantization import merged_weights


def in_policy(model: PreTrainedModel, policy: str) -> PreTrainedModel:
    """Returns a copy of a model in a dtype policy.

    Args:
        model: any model of this package.
        policy: its name, such as "mixed_bfloat16".
    """
    again = type(model).from_config({**model.get_config(), "dtype": policy})
    weights = merged_weights(model)
    for weight in again.weights:
        weight.assign(weights[weight.path])
    return again
