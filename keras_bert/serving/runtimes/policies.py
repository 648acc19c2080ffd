"""A model once more, in another dtype policy."""

from keras_bert.models import PreTrainedModel


def in_policy(model: PreTrainedModel, policy: str) -> PreTrainedModel:
    """Returns a copy of a model in a dtype policy.

    Args:
        model: any model of this package.
        policy: its name, such as "mixed_bfloat16".
    """
    again = type(model).from_config({**model.get_config(), "dtype": policy})
    again.set_weights(model.get_weights())
    return again
