"""Verifiers of a conversion: other implementations that run its source or result.

`convert` asks each for the outputs it computes on probe inputs and compares them with
the reference's. They load frameworks, which `keras_bert.checkpoints` never does.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_bert import families
from keras_bert.checkpoints.checkpoint import Checkpoint
from keras_bert.checkpoints.conversion import Verifier

CHOICES = "multiple_choice"  # the kind of head whose inputs have an axis more
# The reference's names of outputs, by the names of Keras models and of transformers.
NAMES = {
    "last_hidden_state": "sequence_output",
    "pooler_output": "pooled_output",
    "prediction_logits": "mlm_logits",
    "seq_relationship_logits": "nsp_logits",
    "sop_logits": "sop_logits",
    "start_logits": "start_logits",
    "end_logits": "end_logits",
}
# What a head with a single output calls `logits`, by kind.
LOGITS = {
    "masked_lm": "mlm_logits",
    "lm_head": "mlm_logits",
    "causal_lm": "mlm_logits",
    "next_sentence": "nsp_logits",
}


def run_keras(
    source: Checkpoint, result: Checkpoint, head: str, probe: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Runs the Keras model made from the result.

    Args:
        source: what was converted.
        result: what came out.
        head: the model class.
        probe: the inputs, `(batch, seq)`.

    Returns:
        Outputs by the reference's names.
    """
    import keras

    from keras_bert.models import MODELS

    kind = _kind(result, head)
    model = MODELS[head].from_pretrained(result.path, output_hidden_states=True)
    outputs = model(_inputs(kind, probe))
    arrays = {
        name: keras.ops.convert_to_numpy(value)
        for name, value in outputs.items()
        if name != "hidden_states"
    }
    states = [keras.ops.convert_to_numpy(x) for x in outputs["hidden_states"]]
    return _named(arrays, kind) | _states(states)


def run_transformers(
    source: Checkpoint, result: Checkpoint, head: str, probe: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray] | None:
    """Runs transformers' model of the source or the result, if one is its own format.

    Args:
        source: what was converted.
        result: what came out.
        head: the model class.
        probe: the inputs, `(batch, seq)`.

    Returns:
        Outputs by the reference's names; None without transformers and PyTorch, where
        both sides are of another format, or where it computes otherwise.
    """
    checkpoints = (c for c in (result, source) if c.format == "huggingface")
    folder = next((c.path for c in checkpoints if c.path.is_dir()), None)
    if folder is None or source.config.relative_positions:
        return None  # transformers 5 leaves out relative positions
    try:
        import torch
        import transformers
    except ImportError:
        return None
    kind = _kind(result, head)
    # Others differ at padding that is too far from tokens to attend to any.
    how = {"attn_implementation": "eager"}
    model = getattr(transformers, head).from_pretrained(folder, **how)
    inputs = {k: torch.from_numpy(v).long() for k, v in _inputs(kind, probe).items()}
    with torch.no_grad():
        outputs = model.eval()(**inputs, output_hidden_states=True)
    arrays = {
        name: value.float().numpy()
        for name, value in outputs.items()
        if isinstance(value, torch.Tensor)
    }
    return _named(arrays, kind) | _states([x.float() for x in outputs.hidden_states])


VERIFIERS: dict[str, Verifier] = {
    "keras": run_keras,
    "transformers": run_transformers,
}


def _kind(checkpoint: Checkpoint, head: str) -> str:
    return families.of(checkpoint.config).models[head]


def _inputs(kind: str, probe: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rows as the head takes them: one choice each for multiple choice."""
    return {k: v[:, None] if kind == CHOICES else v for k, v in probe.items()}


def _named(outputs: Mapping[str, Any], kind: str) -> dict[str, Any]:
    names = {**NAMES, "logits": LOGITS.get(kind, "logits")}
    return {names[key]: value for key, value in outputs.items() if key in names}


def _states(states: list[Any]) -> dict[str, np.ndarray]:
    """Embeddings and hidden states; the class takes the last as its own output."""
    first, *layers = [np.asarray(state) for state in states]
    return {"embeddings": first, **{f"hidden_{i}": x for i, x in enumerate(layers)}}
