"""What `compile()` makes of its arguments: losses, metrics, XLA or not."""

import inspect
import logging
import re
from collections.abc import Mapping
from typing import Any

import keras

from keras_bert import losses
from keras_bert.errors import ConfigError, choose
from keras_bert.losses import Objective

logger = logging.getLogger(__name__)

AUTO = "auto", "Keras compiles with XLA what it can"
ON_CPU = (
    False,
    "TensorFlow's own kernels are faster on CPUs than XLA, whose bfloat16 products are "
    "no faster than those of float32",
)


def jit_compile_by_default() -> bool | str:
    """Returns what `compile()` takes for `jit_compile`, and logs the reason.

    Example:
        >>> jit_compile_by_default() in (False, "auto")
        True
    """
    backend = keras.backend.backend()
    choice, reason = ON_CPU if backend == "tensorflow" and not _has_gpu() else AUTO
    logger.info("jit_compile=%r on %s: %s.", choice, backend, reason)
    return choice


def _has_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


# === Losses and metrics ===

# What Keras' names mean, by the loss or the metric of a head. None is Keras' own.
_OF_CLASSES = ("sparse_categorical_crossentropy", "crossentropy", "ce")
_OF_NUMBERS = ("mae", "mean_absolute_error", "huber", "log_cosh")
_NAMES: Mapping[type, Mapping[str, type | None]] = {
    losses.Crossentropy: dict.fromkeys(_OF_CLASSES, losses.Crossentropy),
    losses.NextTokenCrossentropy: dict.fromkeys(
        _OF_CLASSES, losses.NextTokenCrossentropy
    ),
    losses.BinaryCrossentropy: dict.fromkeys(
        ("binary_crossentropy", "crossentropy", "ce"), losses.BinaryCrossentropy
    ),
    losses.ClassificationLoss: {
        **dict.fromkeys(("crossentropy", "ce"), losses.ClassificationLoss),
        "sparse_categorical_crossentropy": losses.Crossentropy,
        "binary_crossentropy": losses.BinaryCrossentropy,
    },
    losses.SquaredError: {
        **dict.fromkeys(("mse", "mean_squared_error"), losses.SquaredError),
        "binary_crossentropy": losses.BinaryCrossentropy,
        **dict.fromkeys(_OF_NUMBERS),
    },
    **{
        metric: dict.fromkeys(
            ("accuracy", "acc", "sparse_categorical_accuracy", "binary_accuracy"),
            metric,
        )
        for metric in (
            losses.Accuracy,
            losses.BinaryAccuracy,
            losses.NextTokenAccuracy,
        )
    },
    keras.metrics.MeanSquaredError: dict.fromkeys(
        ("mse", "mean_squared_error", "root_mean_squared_error", *_OF_NUMBERS[:2])
    ),
}


def resolve_losses(loss: Any, objectives: Mapping[str, Objective]) -> Any:
    """Returns losses with those of the head for Keras' names.

    Args:
        loss: as for Keras' `compile`: one, or a dict or list of them.
        objectives: of the head, by output.

    Raises:
        UnknownNameError: a name means nothing for this head.
        ConfigError: a loss takes probabilities; outputs are logits.

    Example:
        >>> head = {"logits": Objective(losses.Crossentropy, losses.Accuracy, "")}
        >>> type(resolve_losses("crossentropy", head)).__name__
        'Crossentropy'
    """
    if isinstance(loss, Mapping):
        return {k: _resolved("loss", v, objectives.get(k)) for k, v in loss.items()}
    if len(objectives) <= 1:
        if isinstance(loss, list | tuple) and len(loss) == 1:
            (loss,) = loss
        return _resolved("loss", loss, next(iter(objectives.values()), None))
    if isinstance(loss, list | tuple) and len(loss) == len(objectives):
        loss = dict(zip(objectives, loss, strict=True))
    else:
        loss = dict.fromkeys(objectives, loss)
    return resolve_losses(loss, objectives)


def learning_by(objectives: Mapping[str, Objective], loss: Any) -> Any:
    """Returns the objectives of a head that learns by a loss.

    One number for each row may be the logit of something on or off.

    Args:
        objectives: of the head, by output.
        loss: one that `resolve_losses` returned.
    """
    binary = isinstance(
        loss, losses.BinaryCrossentropy | keras.losses.BinaryCrossentropy
    )
    return {
        name: one._replace(metric=losses.BinaryAccuracy)
        if binary and one.loss is losses.SquaredError
        else one
        for name, one in objectives.items()
    }


def resolve_metrics(metrics: Any, objectives: Mapping[str, Objective]) -> Any:
    """Returns metrics with those of the head for Keras' names; see `resolve_losses`.

    Args:
        metrics: as for Keras' `compile`. A list is for every output that learns.
        objectives: of the head, by output.
    """
    if metrics is None or not objectives:
        return metrics
    if not isinstance(metrics, Mapping):
        listed = metrics if isinstance(metrics, list | tuple) else [metrics]
        if len(objectives) == 1:
            (objective,) = objectives.values()
            return [_resolved("metric", x, objective) for x in listed]
        metrics = {name: list(listed) for name in objectives}
    return {
        name: [
            _resolved("metric", x, objectives.get(name))
            for x in (value if isinstance(value, list | tuple) else [value])
        ]
        for name, value in metrics.items()
        if value is not None
    }


def _resolved(kind: str, given: Any, objective: Objective | None) -> Any:
    """Returns a loss or a metric of one output."""
    if given is None or objective is None:
        return given
    known = _NAMES.get(getattr(objective, kind), {})
    is_name = isinstance(given, str)
    name = _snake(given if is_name else _plain_name(given))
    if not is_name and name not in known:
        _refuse_probabilities(kind, given)
        return given
    own = known[choose(f"{kind} of this head", name, known)]
    return given if own is None else own(name=given if is_name else given.name)


def _snake(name: str) -> str:
    """Turns the name of a class into that of the function."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


# Objects of Keras that mean the same as their names, with these options.
_PLAIN = {
    keras.losses.SparseCategoricalCrossentropy: {"from_logits": True},
    keras.losses.BinaryCrossentropy: {"from_logits": True},
    keras.metrics.SparseCategoricalAccuracy: {},
}


def _plain_name(given: Any) -> str:
    """Returns the name that means the same as an object of Keras, or an empty one."""
    kind = type(given)
    if kind not in _PLAIN:
        return ""
    plain = kind(name=given.name, dtype=given.dtype, **_PLAIN[kind])
    return kind.__name__ if given.get_config() == plain.get_config() else ""


_OF_PROBABILITIES = (
    keras.losses.KLDivergence,
    keras.losses.Poisson,
    keras.metrics.KLDivergence,
    keras.metrics.Poisson,
    keras.metrics.Accuracy,
)


def _refuse_probabilities(kind: str, given: Any) -> None:
    """Refuses what would take logits for probabilities, or for classes."""
    if _takes_logits(given):
        return
    name = getattr(given, "name", None) or getattr(given, "__name__", str(given))
    raise ConfigError(
        f"Expected a {kind} of logits, which is what the model returns. Received: "
        f"{name}, of probabilities. Pass from_logits=True or thresholds of 0 where it "
        f"has them, or leave {kind} out: the head has its own."
    )


def _takes_logits(given: Any) -> bool:
    if inspect.isfunction(given):
        parameter = inspect.signature(given).parameters.get("from_logits")
        return parameter is None or bool(parameter.default)
    if isinstance(given, _OF_PROBABILITIES):
        return False
    options = getattr(given, "__dict__", {})
    from_logits = options.get("from_logits", options.get("_from_logits"))
    if from_logits is not None:
        return bool(from_logits)
    thresholds = options.get("thresholds", [options.get("threshold")])
    return not any(thresholds)  # a logit of 0 is a probability of one half
