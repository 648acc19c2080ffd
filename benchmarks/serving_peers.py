"""ONNX Runtime and OpenVINO for `serving.py`, in a separate process.

`serving.py --peer-python` runs it in an environment with torch, transformers,
onnxruntime and openvino. It reads lines of JSON, `[variant, case]`, and answers each
with CPU seconds.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from mixed_lengths import LONGEST, Batch, batch, cases, config_fields

NAMES = ("input_ids", "attention_mask", "token_type_ids")


def write_onnx(path: Path, size: str) -> None:
    """Writes Hugging Face's BERT with random weights, batch and length dynamic."""
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(**config_fields(size))
    bert = BertModel._from_config(config, attn_implementation="eager").eval()

    class States(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = bert

        def forward(self, *inputs):
            named = dict(zip(NAMES, inputs, strict=True))
            return self.bert(**named).last_hidden_state

    example = tuple(torch.from_numpy(x.astype(np.int64)) for x in batch([16, 9], 16))
    rows, seq = torch.export.Dim("rows", max=512), torch.export.Dim("seq", max=LONGEST)
    torch.onnx.export(
        States(),
        example,
        str(path),
        input_names=list(NAMES),
        dynamo=True,
        dynamic_shapes=(({0: rows, 1: seq},) * 3,),
        external_data=False,
        verbose=False,
    )


def onnx_runtime(path: Path) -> Callable:
    """Returns a function on batches."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    names = [i.name for i in session.get_inputs()]

    def run(inputs: Batch) -> np.ndarray:
        feeds = [x.astype(np.int64) for x in inputs]
        return session.run(None, dict(zip(names, feeds, strict=True)))[0]

    return run


def open_vino(path: Path, precision: str) -> Callable:
    """Returns a function on batches."""
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": 1,
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    request = compiled.create_infer_request()

    def run(inputs: Batch) -> np.ndarray:
        return request.infer([x.astype(np.int64) for x in inputs])[0]

    return run


def main() -> None:
    """Makes the variants, lists them, and runs those that are requested."""
    size, count = sys.argv[1], int(sys.argv[2])
    work = cases(count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bert.onnx"
        write_onnx(path, size)
        variants = {
            "ONNX Runtime float32": onnx_runtime(path),
            "OpenVINO float32": open_vino(path, "f32"),
            "OpenVINO bfloat16": open_vino(path, "bf16"),
        }
    versions = {name: version(name) for name in ("onnxruntime", "openvino")}
    print(json.dumps([list(variants), versions]), flush=True)
    for line in sys.stdin:
        name, case = json.loads(line)
        start = time.process_time()
        for inputs in work[case]:
            variants[name](inputs)
        print(json.dumps(time.process_time() - start), flush=True)


if __name__ == "__main__":
    main()
