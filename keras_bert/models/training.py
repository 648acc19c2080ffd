"""Training by `compile()` and `fit()`: complete without arguments, inputs checked."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_bert.config import Config
from keras_bert.losses import Objective
from keras_bert.models.compilation import jit_compile_by_default
from keras_bert.models.flat_files import flat_order
from keras_bert.optimizers import AdamW, scale_float16

Tensor = Any


class Trainable(keras.Model):
    """A model that knows what it learns; a mixin of `PreTrainedModel`."""

    @classmethod
    def objectives(cls, config: Config) -> Mapping[str, Objective]:
        """Returns, by output, what is learned."""
        return {}

    # Keras turns the arrays given to these into tensors before it calls the model, and
    # an id out of range is then undefined on most devices.
    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        return super().fit(self._checked(x), *args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        return super().evaluate(self._checked(x), *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return super().predict(self._checked(x), *args, **kwargs)

    def _checked(self, x: Any) -> Any:
        is_data = isinstance(x, Mapping | np.ndarray | list | tuple)
        return self.check(x) if is_data else x

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configures training; without arguments, completely.

        The loss and metrics are the head's; the optimizer is AdamW as BERT was trained
        with, at a constant rate of 5e-5, which is right where Keras' own is not
        (`keras_bert.optimizers`).

        Args:
            optimizer: a Keras optimizer, or its name.
            loss, metrics, weighted_metrics: as for Keras; None takes the head's.
            **kwargs: further arguments of Keras' `compile`.
        """
        if optimizer is None:
            optimizer = AdamW(learning_rate=5e-5)
        if kwargs.pop("auto_scale_loss", True):
            optimizer = scale_float16(
                keras.optimizers.get(optimizer), self.dtype_policy
            )
        kwargs["auto_scale_loss"] = False  # Keras asks for the global policy alone
        kwargs.setdefault("jit_compile", jit_compile_by_default())
        objectives = self.objectives(self.config)
        if loss is None and metrics is None and weighted_metrics is None:
            kwargs.setdefault("loss_weights", _by_output(objectives, "loss_weight"))
            weighted_metrics = _by_output(objectives, "new_metrics")
        super().compile(
            optimizer=optimizer,
            loss=_by_output(objectives, "new_loss") if loss is None else loss,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            **kwargs,
        )

    def make_train_function(self, force: bool = False) -> Any:
        """Makes the training step; see `keras.Model`.

        TensorFlow traces a step twice if the first time creates variables, which takes
        seconds: those of the optimizer and of the losses of several outputs are
        created before.
        """
        if self.optimizer is not None and _traces_on_one_device(self):
            self.optimizer.build(self.trainable_variables)
            if isinstance(self.loss, Mapping) and not self._compile_loss.built:
                outputs = dict.fromkeys(self.loss, 0.0)  # their names alone matter
                self._compile_loss.build(outputs, outputs)
        return super().make_train_function(force)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Computes the loss of the outputs that are learned; see `keras.Model`."""
        rest = map(self._learned, (y, y_pred, sample_weight))
        return super().compute_loss(x, *rest, training=training)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict:
        """Computes the metrics of the outputs that are learned."""
        rest = map(self._learned, (y, y_pred, sample_weight))
        return super().compute_metrics(x, *rest)

    def _learned(self, values: Any) -> Any:
        """Drops outputs without a loss, such as hidden states, and their names."""
        if not isinstance(values, Mapping):
            return values
        if isinstance(self.loss, Mapping):
            return {name: values[name] for name in self.loss if name in values}
        return values.get("logits", values)

    def get_compile_config(self) -> dict | None:
        config = super().get_compile_config()
        if config and self.optimizer is not None and self.optimizer.built:
            # Not always the trainable ones: a layer may have been frozen meanwhile.
            trained = self.optimizer._trainable_variables
            config = {**config, "optimizer_variables": [v.path for v in trained]}
        return config

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compiles a reloaded model as it was saved, its optimizer included."""
        config = dict(config)
        paths = config.pop("optimizer_variables", None)
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is None:
            return
        by_path = {v.path: v for v in flat_order(self.trainable_variables)}
        if paths:
            by_path = {v.path: v for v in self.variables}
        self.optimizer.build([by_path[path] for path in paths or by_path])


def _by_output(objectives: Mapping[str, Objective], attribute: str) -> Any:
    """A dict by output name; the value itself where the logits are the one output."""
    values = {name: getattr(x, attribute) for name, x in objectives.items()}
    if all(value is None for value in values.values()):
        return None
    return values.get("logits", values)


def _traces_on_one_device(model: keras.Model) -> bool:
    on_tensorflow = keras.backend.backend() == "tensorflow"
    return on_tensorflow and model._distribute_strategy is None
