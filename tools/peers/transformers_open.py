"""Loads Hugging Face directories with transformers, in its environment.

Prints a line of JSON for every case; see `tools/peer_check.py`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers

NAMES = {
    "pooler_output": "pooled_output",
    "prediction_logits": "mlm_logits",
    "seq_relationship_logits": "nsp_logits",
    "start_logits": "start_logits",
    "end_logits": "end_logits",
}
LOGITS = {
    "BertForMaskedLM": "mlm_logits",
    "BertLMHeadModel": "mlm_logits",
    "BertForNextSentencePrediction": "nsp_logits",
}


def check(case: Path) -> dict:
    """Loads a checkpoint, runs it and compares the outputs."""
    head = (case / "head").read_text()
    model, info = getattr(transformers, head).from_pretrained(
        case, output_loading_info=True
    )
    inputs = {
        k: torch.from_numpy(v).long() for k, v in np.load(case / "inputs.npz").items()
    }
    if head == "BertForMultipleChoice":
        inputs = {key: value[:, None] for key, value in inputs.items()}
    with torch.no_grad():
        outputs = model.eval()(**inputs, output_hidden_states=True)
    names = NAMES | {"logits": LOGITS.get(head, "logits")}
    found = {names[k]: outputs[k].numpy() for k in outputs if k in names}
    found["sequence_output"] = outputs.hidden_states[-1].numpy()
    expected = np.load(case / "expected.npz")
    apart = [
        np.abs(expected[k] - v.reshape(expected[k].shape)) for k, v in found.items()
    ]
    return {
        "version": f"transformers {transformers.__version__}",
        "case": case.name,
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
        "difference": float(max(values.max() for values in apart)),
    }


for folder in sorted(Path(sys.argv[1]).iterdir()):
    print(json.dumps(check(folder)))
