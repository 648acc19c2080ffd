"""The optimizers of `keras_bert.optimizers`, where scripts used to import them from."""

from keras_bert.optimizers import LAMB, OPTIMIZERS, AdamW, scale_float16  # noqa: F401
