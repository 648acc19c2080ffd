"""Recipes: the hyper-parameters that published BERTs were trained with.

A recipe is a frozen value with a name in `PRETRAINING` or `FINE_TUNING`; each states
the source of its numbers. `override` changes some of them by name, as the command line
and a YAML file do; `plans` and `plan` return what the training loop takes.
"""

from keras_bert.training.recipes.base import FineTuning, Optimization, Phase, Recipe
from keras_bert.training.recipes.fine_tuning import FINE_TUNING
from keras_bert.training.recipes.overrides import override, setting_names, settings
from keras_bert.training.recipes.pretraining import PRETRAINING

__all__ = [
    "FINE_TUNING",
    "PRETRAINING",
    "FineTuning",
    "Optimization",
    "Phase",
    "Recipe",
    "override",
    "setting_names",
    "settings",
]
