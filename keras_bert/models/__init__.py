"""The models: of every family, its encoder with each of its heads."""

import sys

import keras

from keras_bert import families
from keras_bert.models.encoder import Encoder
from keras_bert.models.heads import HEADS
from keras_bert.models.pretrained import PreTrainedModel
from keras_bert.models.sentence_encoder import SentenceEncoder


def _public(name: str, kind: str, family: families.Family) -> type[PreTrainedModel]:
    """Makes the class of a family and a kind of head."""
    head = HEADS[kind]
    values = {
        "family": family,
        "kind": kind,
        "__doc__": head.__doc__,
        "__module__": __name__,
    }
    register = keras.saving.register_keras_serializable(package="keras_bert")
    return register(type(name, (head,), values))


MODELS = {
    name: _public(name, kind, family)
    for family in families.FAMILIES.values()
    for name, kind in family.models.items()
}
vars(sys.modules[__name__]).update(MODELS)

__all__ = ["MODELS", "Encoder", "PreTrainedModel", "SentenceEncoder", *MODELS]
