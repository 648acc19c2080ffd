"""The `TF…` names of `transformers` 4 on the torch classes of `transformers` 5.

What a script computes with these is what it must compute with this package: models are
torch's, and training is written out here.
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import torch
import transformers

from keras_bert.transformers.outputs import ModelOutput

BY_POSITION = ("input_ids", "attention_mask", "token_type_ids")


class TorchModel(keras.layers.Layer):
    """A model of torch, called as one of TensorFlow; in Keras' graphs not trained."""

    name_in_torch: str

    @classmethod
    def from_pretrained(cls, name, **options):
        layer = cls()
        model = getattr(transformers, cls.name_in_torch)
        options["attn_implementation"] = "eager"
        layer.torch_model = [model.from_pretrained(name, **options).eval()]
        layer.config = layer.torch_model[0].config
        return layer

    def save_pretrained(self, folder):
        self.torch_model[0].save_pretrained(folder)

    def __call__(self, *args, **kwargs):
        first, *others = args or [{}]
        named = (
            dict(first)
            if isinstance(first, Mapping)
            else dict(zip(BY_POSITION, [first, *others], strict=False))
        )
        named |= kwargs
        named.pop("training", None)
        inputs = {k: v for k, v in named.items() if not isinstance(v, bool)}
        options = {k: v for k, v in named.items() if isinstance(v, bool)}
        if any(isinstance(value, keras.KerasTensor) for value in inputs.values()):
            return super().__call__(inputs, **options)
        if not tf.executing_eagerly():
            return self.call(inputs, **options)
        outputs = self._run(inputs, options)
        return ModelOutput.of(keras.tree.map_structure(tf.constant, outputs))

    def _run(self, inputs, options=()):
        tensors = {k: torch.tensor(np.asarray(v)).long() for k, v in inputs.items()}
        with torch.no_grad():
            outputs = self.torch_model[0](**tensors, **dict(options))
        return {
            name: tuple(x.numpy() for x in value)
            if isinstance(value, tuple)
            else value.numpy()
            for name, value in outputs.items()
            if name != "past_key_values"
        }

    def call(self, inputs, **options):
        names = list(inputs)
        width = inputs[names[0]].shape[1]
        example = self._run({name: np.ones((2, width)) for name in names}, options)
        flat = keras.tree.flatten(example)

        def run(*arrays):
            outputs = self._run(dict(zip(names, arrays, strict=True)), options)
            return keras.tree.flatten(outputs)

        arrays = tf.numpy_function(run, list(inputs.values()), [tf.float32] * len(flat))
        for array, known in zip(arrays, flat, strict=True):
            array.set_shape((None, *known.shape[1:]))
        return ModelOutput.of(keras.tree.pack_sequence_as(example, arrays))

    # === Training ===

    def compile(self, optimizer, loss=None, metrics=None):
        if isinstance(optimizer, keras.optimizers.Optimizer):
            rate = float(optimizer.learning_rate)
            epsilon = getattr(optimizer, "epsilon", 1e-7)
            optimizer = SimpleNamespace(rate=lambda _: rate, decay=0.0, epsilon=epsilon)
        self.optimizer, self.step, self.moments = optimizer, 0, {}

    def fit(self, dataset, epochs, verbose, callbacks=()):
        losses = [
            float(np.mean([self._learn(*_split(batch)) for batch in dataset]))
            for _ in range(epochs)
        ]
        history = {"loss": losses}
        for callback in callbacks:
            history |= {name: [x] for name, x in callback(self).items()}
        return SimpleNamespace(history=history)

    def _learn(self, batch, labels):
        model = self.torch_model[0]
        tensors = {k: torch.tensor(v.numpy()).long() for k, v in batch.items()}
        loss = model(**tensors, labels=torch.tensor(labels.numpy()).long()).loss
        model.zero_grad()
        loss.backward()
        self.step += 1
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if weight.grad is not None:
                    self._update(name, weight)
        return loss.item()

    def _update(self, name, weight):
        """Adam as Keras has it, after decoupled decay of matrices."""
        first, second = self.moments.setdefault(name, [0.0, 0.0])
        rate, t = self.optimizer.rate(self.step - 1), self.step
        if not any(part in name for part in ("LayerNorm", "layer_norm", "bias")):
            weight -= rate * self.optimizer.decay * weight
        first = 0.9 * first + 0.1 * weight.grad
        second = 0.999 * second + 0.001 * weight.grad**2
        self.moments[name] = [first, second]
        rate *= (1 - 0.999**t) ** 0.5 / (1 - 0.9**t)
        weight -= rate * first / (second**0.5 + self.optimizer.epsilon)

    def prepare_tf_dataset(self, rows, batch_size, shuffle):
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        labels = columns.pop("label")
        return tf.data.Dataset.from_tensor_slices((columns, labels)).batch(batch_size)

    def predict(self, dataset, verbose):
        batches = [self._run(_split(batch)[0])["logits"] for batch in dataset]
        return ModelOutput(logits=np.concatenate(batches))


def _split(batch: Any) -> tuple[dict, Any]:
    if isinstance(batch, tuple):
        return batch
    batch = dict(batch)
    return batch, batch.pop("labels", None)


def create_optimizer(init_lr, num_train_steps, num_warmup_steps, weight_decay_rate):
    def schedule(step):
        if step < num_warmup_steps:
            return init_lr * step / num_warmup_steps
        rest = num_train_steps - num_warmup_steps
        return init_lr * (1 - min(step - num_warmup_steps, rest) / rest)

    optimizer = SimpleNamespace(rate=schedule, decay=weight_decay_rate, epsilon=1e-8)
    return optimizer, schedule


def KerasMetricCallback(metric_fn, eval_dataset):
    def run(model):
        labels = np.concatenate([y for _, y in eval_dataset.as_numpy_iterator()])
        return metric_fn((model.predict(eval_dataset, 0).logits, labels))

    return run


def _with_tensors(theirs: type) -> type:
    """Returns a tokenizer class whose results may be tensors of TensorFlow."""

    class Tokenizer:
        @staticmethod
        def from_pretrained(*args, **kwargs):
            tokenizer = theirs.from_pretrained(*args, **kwargs)
            # transformers 5 has another default than 4.
            tokenizer.clean_up_tokenization_spaces = True
            return _Wrapped(tokenizer)

    return Tokenizer


class _Wrapped:
    def __init__(self, tokenizer):
        self._it = tokenizer

    def __getattr__(self, name):
        return getattr(self._it, name)

    def __call__(self, *args, return_tensors=None, **kwargs):
        tensors = "np" if return_tensors == "tf" else return_tensors
        encoded = self._it(*args, return_tensors=tensors, **kwargs)
        if return_tensors == "tf":
            for name, value in encoded.items():
                encoded[name] = tf.constant(value, tf.int32)
        return encoded

    def encode_plus(self, *args, **kwargs):
        return self(*args, **kwargs)

    def decode(self, ids, **kwargs):
        return self._it.decode(np.asarray(ids), **kwargs)


_TOKENIZERS = (
    *("AutoTokenizer", "BertTokenizer", "BertTokenizerFast"),
    *("DistilBertTokenizerFast", "RobertaTokenizer"),
)


def __getattr__(name: str) -> Any:
    if name in _TOKENIZERS:
        return _with_tensors(getattr(transformers, name))
    if name.startswith("TF"):
        return type(name, (TorchModel,), {"name_in_torch": name[2:]})
    return getattr(transformers, name)
