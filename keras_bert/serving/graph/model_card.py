"""The description of an exported model, as a JSON file in its directory."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_bert.models import heads
from keras_bert.serving.graph import embeddings
from keras_bert.serving.graph.answers import TASKS
from keras_bert.serving.graph.servable import Servable
from keras_bert.tag_schemes import TagSet
from keras_bert.tokenization import BertTokenizer
from keras_bert.version import __version__

PATH = Path("assets.extra", "model_card.json")


def describe(servable: Servable) -> dict[str, Any]:
    """Returns what clients and operators may want to know about a version, for JSON.

    Args:
        servable: the model with its functions.
    """
    model, settings = servable.model, servable.settings
    return {
        "model": model.architecture,
        "task": servable.task.name,
        "config": model.config.to_dict(),
        "dtype": model.dtype_policy.name,
        "parameters": model.count_params(),
        "keras_bert": __version__,
        "tensorflow": tf.__version__,
        "labels": list(settings.labels),
        "tagging_scheme": _tagging_scheme(servable),
        "text": settings.tokenizer is not None,
        "text_pair_by_default": servable.pairs,
        "max_length": settings.max_length,
        **{name: getattr(settings, name) for name in servable.task.limits},
        "embeddings": embeddings.describe(model),
        "tokenizer": servable.tokenizer and _tokenizer(servable.tokenizer),
        "signatures": {n: _signature(f) for n, f in servable.functions.items()},
    }


def write(path: Path, card: dict[str, Any]) -> None:
    """Writes the card of a version.

    Args:
        path: of the file.
        card: see `describe`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(card, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def read(version: Path) -> dict[str, Any]:
    """Returns the card of a version.

    Args:
        version: directory of the version.
    """
    return json.loads((version / PATH).read_text(encoding="utf-8"))


def _tagging_scheme(servable: Servable) -> str | None:
    """Returns how the labels of words say where entities begin and end."""
    tags = servable.task is TASKS[heads.TokenClassification]
    return str(TagSet(servable.settings.labels)) if tags else None


def _tokenizer(tokenizer: BertTokenizer) -> dict[str, Any]:
    facts = {"vocab_size": len(tokenizer)}
    return facts | tokenizer.settings()


def _signature(function: Callable) -> dict[str, dict]:
    inputs = tf.nest.flatten(function.structured_input_signature)
    return {
        "inputs": {spec.name: _spec(spec) for spec in inputs},
        "outputs": {n: _spec(s) for n, s in function.structured_outputs.items()},
    }


def _spec(spec: tf.TensorSpec) -> dict[str, Any]:
    return {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}
