"""Starting TensorFlow without its notes about CPU features and missing GPUs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Sends file descriptor 2 nowhere: the notes do not come from Python."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def start_tensorflow() -> None:
    """Imports TensorFlow and finds its devices, in silence.

    TensorFlow 2.21 prints the notes whatever TF_CPP_MIN_LOG_LEVEL says; set to 0 it
    lets them through here too. A failing import raises as ever.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    with _silent_stderr():
        import tensorflow as tf

        tf.config.list_logical_devices()
