"""Conditional random fields: scores of whole sequences of labels, not of each alone.

The score of a sequence is the sum of a score of every label, given the one before. A
position without a label is passed over: the label after it follows the one before it.

Source: Lafferty et al. 2001; Lample et al. 2016 (arXiv:1603.01360) section 2.2.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_bert.layers.base import Layer

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_bert")
class Transitions(Layer):
    """Adds to the logits of a label a learned score for the label before it.

    Call arguments:
        logits: `(..., classes)`.

    Returns:
        float32 `(..., classes + 1, classes)`: the scores of a label by the one before;
        in the last row of the first label, which are the logits.
    """

    def build(self, input_shape: Any = None) -> None:
        shape = (self.config.num_labels,) * 2
        self.scores = self.add_weight(shape=shape, initializer="zeros", name="scores")

    def call(self, logits: Tensor) -> Tensor:
        scores = ops.cast(ops.convert_to_tensor(self.scores), "float32")
        table = ops.concatenate([scores, ops.zeros_like(scores[:1])], axis=0)
        return ops.cast(logits, "float32")[..., None, :] + table


def path_losses(paths: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Returns minus the log-probability of each label, given those before it.

    Their sum over a row is minus the log-probability of its sequence.

    Args:
        paths: what `Transitions` returns, float32 `(batch, seq, classes + 1, classes)`.
        labels: int32 `(batch, seq)`, in range where they are known.
        known: whether there is a label, `(batch, seq)`.

    Returns:
        float32 `(batch, seq)`, 0 where there is no label.

    Example:
        >>> losses = path_losses(np.zeros((1, 2, 3, 2)), [[0, 1]], [[True, True]])
        >>> [round(float(loss), 4) for loss in losses[0]]
        [0.6931, 0.6931]
    """
    paths, labels = ops.cast(paths, "float32"), ops.cast(labels, "int32")
    labels, known = labels * ops.cast(known, "int32"), ops.convert_to_tensor(known)
    onward = _onward(paths, known, ops.logsumexp)  # (batch, seq, classes + 1)
    before = _labels_before(labels, known, paths.shape[-1])[..., None]
    path = ops.take_along_axis(paths, before[..., None], axis=2)[..., 0, :] + _next(
        onward
    )
    own = ops.take_along_axis(path, labels[..., None], axis=-1)
    values = ops.take_along_axis(onward, before, axis=-1) - own
    return ops.where(known, values[..., 0], 0.0)


def best_paths(
    paths: Tensor, known: Tensor, scan: Callable[..., Any] = ops.scan
) -> Tensor:
    """Returns the labels of the sequences with the highest scores (Viterbi).

    Args:
        paths: as for `path_losses`.
        known: which positions are labeled, `(batch, seq)`.
        scan: `keras.ops.scan`, or what does the same where that cannot: in a graph of
            TensorFlow that does not know `seq`.

    Returns:
        int32 `(batch, seq)`; a position that is not labeled has the label before it.

    Example:
        >>> paths = np.zeros((1, 2, 3, 2))
        >>> paths[0, 1, 0, 1] = 5  # 1 after 0
        >>> best_paths(paths, [[True, True]]).numpy().tolist()
        [[0, 1]]
    """
    paths, known = ops.cast(paths, "float32"), ops.convert_to_tensor(known)
    onward = _next(_onward(paths, known, ops.max, scan))

    def step(before: Tensor, here: tuple) -> tuple[Tensor, Tensor]:
        path, rest, labeled = here
        row = ops.take_along_axis(path, before[:, None, None], axis=1)[:, 0] + rest
        label = ops.where(labeled, ops.cast(ops.argmax(row, -1), "int32"), before)
        return label, label

    none = ops.full_like(ops.cast(paths[:, 0, 0, 0], "int32"), paths.shape[-1])
    _, labels = scan(step, none, tuple(map(_by_step, (paths, onward, known))))
    return ops.transpose(labels)


def _onward(
    paths: Tensor, known: Tensor, over: Callable, scan: Callable[..., Any] = ops.scan
) -> Tensor:
    """Returns the score of all that follows, from a position on, by the label before.

    Args:
        paths: `(batch, seq, classes + 1, classes)`.
        known: `(batch, seq)`.
        over: what becomes of the scores of several sequences, their sum or maximum.
        scan: see `best_paths`.

    Returns:
        `(batch, seq, classes + 1)`.
    """

    def step(after: Tensor, here: tuple) -> tuple[Tensor, Tensor]:
        path, labeled = here
        score = over(path + after[:, None, :-1], axis=-1)
        score = ops.where(labeled[:, None], score, after)
        return score, score

    steps = tuple(map(_by_step, (paths, known)))
    _, scores = scan(step, ops.zeros_like(paths[:, 0, :, 0]), steps, reverse=True)
    return _by_step(scores)


def _next(onward: Tensor) -> Tensor:
    """Returns the score of what follows each position, by its own label."""
    rest = ops.concatenate([onward[:, 1:], ops.zeros_like(onward[:, :1])], axis=1)
    return rest[..., :-1]


def _labels_before(labels: Tensor, known: Tensor, none: int) -> Tensor:
    """Returns the last known label before each position, or `none`."""
    order = ops.arange(1, ops.shape(labels)[1] + 1)
    earlier = (order[None, :] < order[:, None])[None] & known[:, None, :]
    last = ops.max(ops.where(earlier, order, 0), axis=-1)  # from 1, or 0
    found = ops.take_along_axis(labels, ops.maximum(last - 1, 0), axis=1)
    return ops.where(last > 0, found, none)


def _by_step(values: Tensor) -> Tensor:
    """Swaps the first two axes."""
    return ops.swapaxes(values, 0, 1)
