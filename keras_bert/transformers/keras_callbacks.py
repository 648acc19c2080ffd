"""The callbacks of `transformers` for `model.fit`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_bert.errors import InputError
from keras_bert.transformers.collators import IGNORED

_POSITIONS = ("start_positions", "end_positions")


class KerasMetricCallback(keras.callbacks.Callback):
    """Computes metrics of predictions of a whole dataset after every epoch.

    Args:
        metric_fn: a function of (predictions, labels), each an array, or arrays by name
            or in a list, that returns metrics by name. Rows of several lengths are
            padded with -100.
        eval_dataset: batches of inputs and labels, or of inputs with labels among them;
            or arrays of those.
        output_cols: names of the outputs to give to `metric_fn`; None gives all.
        label_cols: names of the labels among the inputs; None finds them.
        batch_size: of arrays.
        predict_with_generate: cannot be had.
        **kwargs: of generation, without effect.

    Raises:
        InputError: the dataset has no labels, or generation is asked for.

    Example:
        >>> def accuracy(predictions_and_labels):
        ...     logits, labels = predictions_and_labels
        ...     return {"accuracy": np.mean(logits.argmax(-1) == labels)}
        >>> callback = KerasMetricCallback(accuracy, dataset)  # doctest: +SKIP
    """

    def __init__(
        self,
        metric_fn: Callable[[tuple[Any, Any]], Mapping[str, float]],
        eval_dataset: Any,
        output_cols: Sequence[str] | None = None,
        label_cols: Sequence[str] | None = None,
        batch_size: int | None = None,
        predict_with_generate: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if predict_with_generate:
            raise InputError(
                "Expected predict_with_generate=False: BERT's models do not generate. "
                "Received: True."
            )
        self.metric_fn = metric_fn
        self.eval_dataset = _batches(eval_dataset, batch_size)
        self.output_cols = output_cols
        self.label_cols = None if label_cols is None else list(label_cols)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        predictions, labels = [], []
        for batch in self.eval_dataset:
            features, answers = self._divided(batch)
            found = self.model.predict_on_batch(features)
            predictions.append(_arrays(self._chosen(found)))
            labels.append(_arrays(answers))
        metrics = self.metric_fn((_joined(predictions), _joined(labels)))
        if not isinstance(metrics, Mapping):
            raise InputError(
                f"Expected metrics by name from metric_fn. Received: {metrics!r:.60}."
            )
        if logs is not None:
            logs.update(metrics)  # where the history reads them

    def _divided(self, batch: Any) -> tuple[Any, Any]:
        """Returns the inputs and the labels of a batch."""
        if self.label_cols is None and isinstance(batch, tuple | list):
            return batch[0], batch[1]
        inputs = dict(batch[0] if isinstance(batch, tuple | list) else batch)
        names = self.label_cols or [k for k in ("labels", *_POSITIONS) if k in inputs]
        missing = [name for name in names if name not in inputs]
        if missing or not names:
            raise InputError(
                f"Expected {' and '.join(missing) or 'labels'} in eval_dataset. "
                f"Received: {', '.join(inputs)}. Name them with label_cols."
            )
        answers = {name: inputs.pop(name) for name in names}
        return inputs, answers

    def _chosen(self, outputs: Any) -> Any:
        if not isinstance(outputs, Mapping):
            return outputs
        names = self.output_cols or [k for k in outputs if k != "loss"]
        return {name: outputs[name] for name in names if outputs[name] is not None}


class PushToHubCallback(keras.callbacks.Callback):
    """Cannot be had.

    Raises:
        InputError: always, saying what to do.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise InputError(
            "This package does not upload. Save with model.save_pretrained(FOLDER), "
            "then run `hf upload NAME FOLDER`."
        )


def _batches(dataset: Any, batch_size: int | None) -> Any:
    if not isinstance(dataset, tuple | Mapping | np.ndarray):
        return dataset
    if batch_size is None:
        raise InputError(
            "Expected batch_size with arrays as eval_dataset. Received: None."
        )
    flat = keras.tree.flatten(dataset)
    starts = range(0, len(flat[0]), batch_size)
    return [
        keras.tree.map_structure(lambda a, at=at: a[at : at + batch_size], dataset)
        for at in starts
    ]


def _arrays(values: Any) -> Any:
    """Returns tensors as arrays; a dict or list of one as that."""
    if isinstance(values, Mapping):
        found = {k: _arrays(v) for k, v in values.items()}
        return next(iter(found.values())) if len(found) == 1 else found
    if isinstance(values, tuple | list):
        listed = [_arrays(v) for v in values]
        return listed[0] if len(listed) == 1 else listed
    return keras.ops.convert_to_numpy(values)


def _joined(batches: Sequence[Any]) -> Any:
    """Returns all rows of batches."""
    first = batches[0]
    if isinstance(first, dict):
        return {name: _joined([batch[name] for batch in batches]) for name in first}
    if isinstance(first, list):
        return [_joined(column) for column in zip(*batches, strict=True)]
    width = max((batch.shape[1] for batch in batches if batch.ndim > 1), default=0)
    return np.concatenate([_widened(batch, width) for batch in batches])


def _widened(batch: np.ndarray, width: int) -> np.ndarray:
    if batch.ndim < 2:
        return batch
    missing = [(0, 0), (0, width - batch.shape[1]), *[(0, 0)] * (batch.ndim - 2)]
    return np.pad(batch, missing, constant_values=IGNORED)
