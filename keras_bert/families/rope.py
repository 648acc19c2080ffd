"""Rotary positions in the config files of Hugging Face."""

from collections.abc import Mapping
from typing import Any

from keras_bert.config import Config
from keras_bert.errors import ConfigError


def even_heads(config: Config) -> None:
    """Refuses heads of an odd width, which have no pairs to turn.

    Raises:
        ConfigError: they are.
    """
    if config.head_dim % 2:
        raise ConfigError(
            "Expected heads of an even width, hidden_size / num_attention_heads. "
            f"Received: {config.hidden_size} / {config.num_attention_heads} = "
            f"{config.head_dim}. Change one of them."
        )


def take_parameters(values: dict[str, Any]) -> Mapping[str, Any]:
    """Takes the keys about rotary positions out of those of a file.

    Args:
        values: by name; `rope_parameters` and `rope_scaling` are removed.

    Returns:
        What `rope_parameters` says; empty where there are none.

    Raises:
        ConfigError: positions are scaled, which is not built.
    """
    found, scaling = (
        values.pop("rope_parameters", None),
        values.pop("rope_scaling", None),
    )
    if scaling or not isinstance(found or {}, Mapping):
        raise ConfigError(
            "Expected rope_parameters as an object, and no rope_scaling, which these "
            f"models do not build. Received: {found!r}, {scaling!r}."
        )
    return found or {}


def read_theta(
    parameters: Mapping[str, Any] | None, name: str, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the base of frequencies that `rope_parameters` of transformers 5 give.

    Args:
        parameters: of layers of one kind; None says nothing.
        name: the field that is that base.
        values: further keys of the file, which may have it too.

    Raises:
        ConfigError: the frequencies are scaled, which is not built, or the file has
            two bases.

    Example:
        >>> read_theta({"rope_type": "default", "rope_theta": 1e4}, "rope_theta", {})
        {'rope_theta': 10000.0}
    """
    rest = dict(parameters) if isinstance(parameters, Mapping) else {}
    theta, kind = rest.pop("rope_theta", None), rest.pop("rope_type", "default")
    if kind != "default" or rest or not isinstance(parameters, Mapping | None):
        raise ConfigError(
            "Expected rope_parameters of the rope_type 'default', the only kind these "
            f"models build. Received: {parameters!r}."
        )
    if theta is None:
        return {}
    if values.get(name, theta) != theta:
        raise ConfigError(
            f"Expected {name} once. Received: {values[name]!r}, and {theta!r} in "
            "rope_parameters. Remove one of them."
        )
    return {name: theta}


def written_theta(theta: float) -> dict[str, Any]:
    """Returns `rope_parameters` of layers of one kind, as transformers 5 has them."""
    return {"rope_theta": theta, "rope_type": "default"}
