"""Starting TensorFlow without its messages about CPU features and missing GPUs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Redirects file descriptor 2 to null: the messages do not come from Python."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def start_tensorflow() -> None:
    """Imports TensorFlow and lists its devices, without messages on stderr.

    TensorFlow 2.21 prints them regardless of TF_CPP_MIN_LOG_LEVEL; set it to 0 to see
    them. A failing import raises its error.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    with _silent_stderr():
        import tensorflow as tf

        tf.config.list_logical_devices()
