"""Where a worker finds the others, as TensorFlow and JAX are told."""

import json
import socket


def ports(count: int) -> list[int]:
    """Returns ports of this machine that are free."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def tensorflow_place(addresses, index):
    cluster = {"cluster": {"worker": addresses}}
    task = {"task": {"type": "worker", "index": index}}
    return {"KERAS_BACKEND": "tensorflow", "TF_CONFIG": json.dumps(cluster | task)}


def jax_place(addresses, index):
    return {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_COORDINATOR_ADDRESS": addresses[0],
        "JAX_NUM_PROCESSES": str(len(addresses)),
        "JAX_PROCESS_ID": str(index),
    }
