"""The models of transformers, trained on the batches of a task and asked by it."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
import torch
import transformers

from keras_bert.tasks import Task
from keras_bert.tasks.embedding_training import EmbeddingTask
from keras_bert.tasks.trimming import TOKENS


class TorchModel:
    """A model of transformers with what a task needs of a model: a loss, predictions.

    Args:
        path: the checkpoint.
        config: of this package, for the task.
        **named: fields of transformers' config.
    """

    auto = "AutoModelForSequenceClassification"

    def __init__(self, path: str, config: Any, **named: Any):
        self.module = getattr(transformers, self.auto).from_pretrained(path, **named)
        self.config = config

    def join(self, task: Task) -> None:
        """Becomes the model of a task."""
        task._model = self

    def check(self, features: Mapping[str, Any]) -> None:
        """Takes any features."""

    def inputs(self, features: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
        return {name: torch.tensor(features[name]).long() for name in TOKENS}

    def loss(self, features: Mapping[str, np.ndarray], labels: Any) -> torch.Tensor:
        target = torch.tensor(labels)
        target = target if target.is_floating_point() else target.long()
        return self.module(**self.inputs(features), labels=target).loss

    def answer(self, features: Mapping[str, np.ndarray]) -> Any:
        return self.module(**self.inputs(features)).logits

    def predict(self, data: Any, batch_size: int = 32, verbose: int = 0) -> Any:
        """Returns arrays for all rows, as `keras.Model.predict`."""
        if not isinstance(data, tf.data.Dataset):
            data = tf.data.Dataset.from_tensor_slices(data).batch(batch_size)
        with torch.no_grad():
            parts = [self.answer(batch) for batch in data.as_numpy_iterator()]
        join = tf.nest.map_structure
        return join(
            lambda *x: torch.cat([torch.as_tensor(a) for a in x]).numpy(), *parts
        )


class Tags(TorchModel):
    auto = "AutoModelForTokenClassification"


class Answers(TorchModel):
    auto = "AutoModelForQuestionAnswering"

    def loss(self, features: Mapping[str, np.ndarray], labels: Any) -> torch.Tensor:
        ends = {
            f"{side}_positions": torch.tensor(labels[f"{side}_logits"]).long()
            for side in ("start", "end")
        }
        return self.module(**self.inputs(features), **ends).loss

    def answer(self, features: Mapping[str, np.ndarray]) -> Any:
        found = self.module(**self.inputs(features))
        return {"start_logits": found.start_logits, "end_logits": found.end_logits}


class Vectors(TorchModel):
    """The mean of the tokens' states; learns squared differences of cosines."""

    auto = "AutoModel"
    highest = 5  # label

    def join(self, task: Task) -> None:
        super().join(task)
        task.vectors = partial(EmbeddingTask.vectors, task)

    def answer(self, features: Mapping[str, np.ndarray]) -> Any:
        inputs = self.inputs(features)
        mask = inputs["attention_mask"][..., None]
        total = (self.module(**inputs).last_hidden_state * mask).sum(1)
        return {"embeddings": torch.nn.functional.normalize(total / mask.sum(1))}

    def loss(self, features: Mapping[str, np.ndarray], labels: Any) -> torch.Tensor:
        texts = {k: x.reshape(-1, x.shape[-1]) for k, x in features.items()}
        pairs = self.answer(texts)["embeddings"].reshape(len(labels), 2, -1)
        target = torch.tensor(labels).float() / self.highest
        return ((pairs[:, 0] * pairs[:, 1]).sum(-1) - target).square().mean()


MODELS = {"ner": Tags, "qa": Answers, "sts": Vectors}


def train(task: Task, items: list, settings: dict[str, Any], seed: int) -> None:
    """Gives a task a model of transformers, trained on items.

    Args:
        task: of a checkpoint in Hugging Face's format.
        items: the training data.
        settings: of training, fields of `FineTuning`.
        seed: of the new head, the dropout and the order of the rows.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    task.max_length = settings["max_length"]
    fields = task.config_fields(items, "the training data")  # chooses the labels
    labels = getattr(task, "labels", None)
    named = {"num_labels": len(labels)} if labels else {}
    if task.name == "regression":
        named = {"num_labels": 1, "problem_type": "regression"}
    kind = MODELS.get(task.name, TorchModel)
    config = task.checkpoint.config.replace(**fields)
    model = kind(str(task.checkpoint.path), config, **named)
    features, targets = task.encoded(items)[:2]
    batch = settings["batch_size"]
    steps = math.ceil(len(features["input_ids"]) * settings["epochs"] / batch)
    order = {"shuffle_seed": seed, "repeat": True, "group_by_length": True}
    batches = task.batches(model, (features, targets), batch, **order)
    optimizer, schedule = _optimizer(model.module, settings["learning_rate"], steps)
    model.module.train()
    for rows in batches.take(steps).as_numpy_iterator():
        model.loss(*rows).backward()
        torch.nn.utils.clip_grad_norm_(model.module.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.module.eval()
    model.join(task)


def _optimizer(module: Any, learning_rate: float, steps: int) -> tuple:
    """Returns AdamW and the schedule, with the settings of `FineTuning`."""
    excluded = ("bias", "LayerNorm.weight")
    parameters = list(module.named_parameters())
    groups = [
        {
            "params": [p for n, p in parameters if n.endswith(excluded) == skips],
            "weight_decay": 0.0 if skips else 0.01,
        }
        for skips in (False, True)
    ]
    warmup = round(steps * 0.1)
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, eps=1e-6)

    def rate(step: int) -> float:
        return (step + 1) / warmup if step < warmup else 1 - step / steps

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
