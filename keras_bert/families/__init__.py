"""The families: each one value, that everything else asks. No code to run."""

from collections.abc import Mapping
from typing import Any

from keras_bert.config import Config
from keras_bert.errors import ConfigError, choose
from keras_bert.families.albert import ALBERT
from keras_bert.families.bert import BERT
from keras_bert.families.deberta import DEBERTA, DEBERTA_V2
from keras_bert.families.distilbert import DISTILBERT
from keras_bert.families.electra import ELECTRA
from keras_bert.families.family import Family
from keras_bert.families.modernbert import MODERNBERT
from keras_bert.families.mpnet import MPNET
from keras_bert.families.nomic_bert import NOMIC_BERT
from keras_bert.families.roberta import ROBERTA, XLM_ROBERTA
from keras_bert.families.roformer import ROFORMER

_REGISTERED = (
    ALBERT,
    BERT,
    DEBERTA,
    DEBERTA_V2,
    DISTILBERT,
    ELECTRA,
    MODERNBERT,
    MPNET,
    NOMIC_BERT,
    ROBERTA,
    ROFORMER,
    XLM_ROBERTA,
)
FAMILIES = {family.model_type: family for family in _REGISTERED}

__all__ = ["FAMILIES", "Family", "of", "preset", "read_config", "with_place_in"]


def of(model: Config | str) -> Family:
    """Returns a family.

    Args:
        model: its `model_type`, or one of its configs.

    Raises:
        UnknownNameError: there is no such family.

    Example:
        >>> of("bert").class_prefix
        'Bert'
    """
    name = model if isinstance(model, str) else model.model_type
    return FAMILIES[choose("model type", name, FAMILIES)]


def with_place_in(format: str) -> list[Family]:
    """Returns the families whose usual encoders a format of checkpoints can hold.

    Example:
        >>> [family.class_prefix for family in with_place_in("google")]
        ['Albert', 'Bert']
    """
    return [
        family
        for family in FAMILIES.values()
        if all(
            format in row.placements
            for row in family.parts["encoder"]
            if row.option is None
        )
    ]


def preset(name: str, **changes: Any) -> Config:
    """Returns a published size of any family by name; see `Config.preset`.

    Args:
        name: such as "tiny"; `Config.presets` lists those of a family.
        **changes: fields to set differently.

    Raises:
        UnknownNameError: no such size, or no such field.

    Example:
        >>> preset("tiny").model_type
        'bert'
    """
    configs = {n: f.config for f in FAMILIES.values() for n in f.config.presets}
    return configs[choose("preset", name, configs)].preset(name, **changes)


def read_config(values: Mapping[str, Any]) -> Config:
    """Reads the keys of a `config.json`, or of a `bert_config.json`.

    Args:
        values: with `model_type`; BERT's where there is none.

    Raises:
        ConfigError: `model_type` names no family, or a value is wrong.

    Example:
        >>> read_config({"model_type": "distilbert", "dim": 24, "n_heads": 2}).head_dim
        12
    """
    known = FAMILIES | {n: f for f in FAMILIES.values() for n in f.read_as}
    name = values.get("model_type") or _of_class(values.get("architectures"))
    if not isinstance(name, str) or name not in known:
        raise ConfigError(
            f"Expected a model of one of the families {', '.join(known)}. "
            f"Received: model_type={name!r}."
        )
    config = known[name].config
    return config.from_dict({**values, "model_type": config.model_type})


def _of_class(architectures: Any) -> str:
    """Returns the family of the class that a config without `model_type` names."""
    named = map(str, architectures if isinstance(architectures, list) else ())
    families = (t for n in named for t, f in FAMILIES.items() if n in f.models)
    return next(families, BERT.model_type)
