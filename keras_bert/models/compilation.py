"""Whether XLA compiles a step: chosen by platform, and said why."""

import logging

import keras

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
