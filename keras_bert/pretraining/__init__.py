"""Pretraining data: corpus, sentence pairs, masking, records."""

from keras_bert.pretraining.create import DataSettings, create_pretraining_data
from keras_bert.pretraining.reading import dataset

__all__ = ["DataSettings", "create_pretraining_data", "dataset"]
