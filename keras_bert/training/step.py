"""The loss and metrics of a batch, as sums that add up over replicas and steps.

A batch is `(features, labels, weights)`; labels and weights are dicts by output name,
or arrays for a model with one output.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_bert.axes import names
from keras_bert.errors import ConfigError
from keras_bert.layers.replicas import sum_over_replicas
from keras_bert.losses import Accuracy, WeightedMean, spread
from keras_bert.models import PreTrainedModel

Tensor = Any

STOP_CHECK_EVERY = 8  # steps between checks whether any process was told to stop
# Names of outputs in logs.
SHORT_NAMES = {
    "prediction_logits": "mlm",
    "seq_relationship_logits": "nsp",
    "sop_logits": "sop",
}


def by_output(values: Any) -> dict[str, Any]:
    """Returns a dict by output name; a single value belongs to `logits`."""
    return dict(values) if isinstance(values, Mapping) else {"logits": values}


def log_name(output: str, quantity: str) -> str:
    """Returns the name of a quantity in logs: `mlm_loss`, `nsp_accuracy`, `loss`.

    Example:
        >>> log_name("prediction_logits", "accuracy"), log_name("logits", "loss")
        ('mlm_accuracy', 'loss')
    """
    short = SHORT_NAMES.get(output, output.removesuffix("logits").rstrip("_"))
    return f"{short}_{quantity}" if short else quantity


class BatchLoss:
    """A model's total loss, and the sums its metrics are computed from.

    Args:
        model: the model; losses and their weights are those of its head.
        r_drop: weight of the divergence of two passes with different dropout (R-Drop);
            0 makes one pass.
        fgm: distance that the word embeddings are moved for a second gradient, see
            `keras_bert.training.adversarial`; 0 computes none.
        **options: of its losses, see `keras_bert.losses.ClassLoss`.

    Raises:
        ConfigError: a loss has no such option.

    Source: of R-Drop Liang et al. 2021 (arXiv:2106.14448), section 2.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        r_drop: float = 0.0,
        fgm: float = 0.0,
        **options: Any,
    ):
        self.model, self.r_drop, self.fgm = model, r_drop, fgm
        objectives = model.objectives(model.config)
        self.losses: dict[str, WeightedMean] = {
            output: x.loss_with(**options) for output, x in objectives.items()
        }
        if r_drop:
            _require_divergence(self.losses)
        weights = {output: x.loss_weight for output, x in objectives.items()}
        self.loss_weights = {k: x for k, x in weights.items() if x is not None}
        # Only accuracies are ratios of sums; other metrics are for `compile()`.
        self.accuracies = {
            output: objective.metric()
            for output, objective in objectives.items()
            if issubclass(objective.metric, Accuracy)
        }

    def __call__(
        self,
        batch: tuple,
        training: bool,
        totals: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
        """Runs the model on a batch.

        Args:
            batch: `(features, labels)` or `(features, labels, weights)`.
            training: with dropout.
            totals: sum of weights by output, for a microbatch of a larger batch; None
                computes those of this batch.

        Returns:
            This replica's share of the total loss; and for each quantity its weighted
            sum and the sum of weights.
        """
        loss, sums, _ = self.of_labels(batch, training, totals)
        return loss, sums

    def outputs(self, features: Any, training: bool) -> dict[str, Tensor]:
        """Runs the model, and returns its outputs by name."""
        return by_output(self.model(features, training=training))

    def of_labels(
        self, batch: tuple, training: bool, totals: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]], list[dict[str, Tensor]]]:
        """Does what a call does, and returns the outputs of each pass as well."""
        features, labels, weights = unpacked(batch)
        count = 2 if training and self.r_drop else 1
        passes = [self.outputs(features, training) for _ in range(count)]
        totals = self.totals(batch) if totals is None else totals
        loss, sums = 0.0, {"tokens": (_real_tokens(self.model, features), 1.0)}
        for name in self.losses:
            given = labels[name], weights.get(name)
            found = [self._sums(name, x[name], *given) for x in passes]
            key = log_name(name, "loss")
            value = sum(each[key][0] for each in found) / len(found)
            if len(passes) == 2:
                value = value + self._divergence(name, passes, *given)
            loss = loss + self.loss_weights.get(name, 1.0) * value / totals[name]
            sums |= found[0] | {key: (value, found[0][key][1])}
        return loss, sums, passes

    def _divergence(
        self, name: str, passes: Sequence[Mapping], labels: Tensor, weight: Any
    ) -> Tensor:
        """Returns the weighted sum by which two passes differ."""
        one, other = (ops.cast(x[name], "float32") for x in passes)
        loss, given = self.losses[name], ops.convert_to_tensor(labels)
        values = loss.divergence(given, one, other)
        counts = loss.counts(given, ops.shape(one))
        return self.r_drop * weighed(values, counts, weight)[0]

    def totals(self, batch: tuple) -> dict[str, Tensor]:
        """Returns the divisor of the loss of each output.

        That is the sum of weights over all replicas, or 1 if it is zero. It depends on
        labels and weights alone.

        Args:
            batch: of this replica, `(features, labels[, weights])`.
        """
        features, labels, weights = unpacked(batch)
        model, config = self.model, self.model.config
        sizes, objectives = model.family.sizes(config), model.objectives(config)
        packed = isinstance(features, Mapping) and "cls_positions" in features
        sums = []
        for name, loss in self.losses.items():
            given = ops.convert_to_tensor(labels[name])
            shape = _shape_for(given, objectives[name].axes, sizes, packed)
            counts = loss.counts(given, shape)
            sums.append(weighed(counts, counts, weights.get(name))[1])
        return {
            name: ops.where(total > 0, total, 1.0)
            for name, total in zip(self.losses, sum_over_replicas(sums), strict=True)
        }

    @property
    def constants(self) -> Sequence[Any]:
        """Variables that steps read besides those of the model."""
        return ()

    def total(self, metrics: Mapping[str, float]) -> float:
        """Returns the total loss, given the mean loss of each output."""
        return sum(
            self.loss_weights.get(name, 1.0) * metrics[log_name(name, "loss")]
            for name in self.losses
        )

    def _sums(self, name: str, outputs: Tensor, labels: Tensor, weight: Any) -> dict:
        values, counts = self.losses[name].values(
            ops.convert_to_tensor(labels), ops.cast(outputs, "float32")
        )
        sums = {log_name(name, "loss"): weighed(values, counts, weight)}
        if name in self.accuracies:
            right, counts = self.accuracies[name].values(labels, outputs)
            sums[log_name(name, "accuracy")] = weighed(right, counts, weight)
        return sums


def _require_divergence(losses: Mapping[str, Any]) -> None:
    none = WeightedMean.divergence
    for loss in losses.values():
        if getattr(type(loss), "divergence", none) is none:
            raise ConfigError(
                "Expected a loss of classes, labels or numbers with r_drop. Received: "
                f"{type(loss).__name__}. Leave r_drop out."
            )


def unpacked(batch: tuple) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    features, labels, *rest = batch
    return features, by_output(labels), by_output(rest[0] if rest else None)


def _shape_for(
    labels: Tensor, axes: str, sizes: Mapping[str, int], packed: bool
) -> tuple:
    """Returns the output shape for these labels; an unknown axis counts as 1."""
    *outer, last = names(axes)
    known = [sizes[name] for name in outer if name in sizes]  # behind those of labels
    rank = len(outer) - len(known) + (packed and len(outer) == 1)  # or of pieces
    return (*ops.shape(labels)[:rank], *known, sizes.get(last, 1))


def weighed(values: Tensor, counts: Tensor, weight: Any) -> tuple[Tensor, Tensor]:
    if weight is not None:
        counts = counts * spread(weight, values)
    return ops.sum(values * counts), ops.sum(counts)


def _real_tokens(model: PreTrainedModel, features: Any) -> Tensor:
    mask = model.complete(features, ["attention_mask"])["attention_mask"]
    return ops.sum(ops.cast(mask > 0, "float32"))


def averages(sums: Mapping[str, tuple[Any, Any]]) -> dict[str, float]:
    """Returns the mean of every quantity, its sum divided by its weights."""
    return {
        name: top / max(bottom, 1e-9) for name, (top, bottom) in as_floats(sums).items()
    }


def as_floats(sums: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[float, float]]:
    """Returns sums as Python floats; waits until they are computed."""
    return {name: (float(top), float(bottom)) for name, (top, bottom) in sums.items()}


def add_up(steps: Sequence[Mapping[str, tuple[Any, Any]]]) -> dict:
    """Adds the sums of several steps, quantity by quantity."""
    steps = [as_floats(sums) for sums in steps]
    return {
        name: tuple(sum(sums[name][side] for sums in steps) for side in (0, 1))
        for name in steps[0]
    }
