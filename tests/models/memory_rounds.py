"""Builds, compiles, fits and deletes models, and prints what is left after each round.

python -m tests.models.memory_rounds 4
"""

import ctypes
import dataclasses
import gc
import json
import resource
import sys
from pathlib import Path

import keras
from tensorflow.python.framework.func_graph import FuncGraph
from tensorflow.python.framework.ops import gradient_registry

from keras_bert import BertForPreTraining
from tests.cases import CASES, CONFIG

CASE = CASES["BertForPreTraining"]
SMALL = dataclasses.replace(CONFIG, num_hidden_layers=1)


def work(activation_checkpointing: bool) -> None:
    model = BertForPreTraining(SMALL, seed=0)
    model.encoder.activation_checkpointing = activation_checkpointing
    model.compile()
    model.fit(CASE.features(), CASE.labels, verbose=0)


def measured() -> dict[str, float]:
    """Returns what is alive once Keras was told to forget, memory in MB."""
    keras.utils.clear_session()
    gc.collect()
    # What malloc keeps for later is not lost: without this, the memory of plain Keras
    # models, too, goes up and down by 50 MB.
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "graphs": sum(isinstance(x, FuncGraph) for x in gc.get_objects()),
        "gradients": len(gradient_registry.list()),
        "memory": pages * resource.getpagesize() / 1e6,
    }


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        work(activation_checkpointing=False)
        work(activation_checkpointing=True)
        print(json.dumps(measured()), flush=True)
