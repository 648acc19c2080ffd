"""Training by `compile()` and `fit()`: complete without arguments, inputs checked."""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_bert.axes import names
from keras_bert.config import Config
from keras_bert.errors import InputError
from keras_bert.losses import Objective, WeightedMean
from keras_bert.models import compilation, labels
from keras_bert.models.flat_files import flat_order
from keras_bert.optimizers import AdamW, scale_float16

Tensor = Any
BATCH = ("x", "y", "sample_weight")


class Trainable(keras.Model):
    """A model that knows what it learns; a mixin of `PreTrainedModel`."""

    train_function: Any  # a `_TrainingStep`, once it is made

    @classmethod
    def objectives(cls, config: Config) -> Mapping[str, Objective]:
        """Returns, by output, what is learned."""
        return {}

    # === Data ===

    # Keras makes tensors of arrays before it calls the model. What is wrong with arrays
    # is said before.
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        return super().fit(**self._checked(super().fit, args, kwargs))

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        given = self._checked(super().evaluate, args, kwargs)
        with self._values_kept():
            return super().evaluate(**given)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        given = self._checked(super().predict, args, kwargs)
        with self._values_kept():
            return super().predict(**given)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        given = self._checked(super().train_on_batch, args, kwargs)
        return super().train_on_batch(**given)

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        given = self._checked(super().test_on_batch, args, kwargs)
        return super().test_on_batch(**given)

    def predict_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        given = self._checked(super().predict_on_batch, args, kwargs)
        return super().predict_on_batch(**given)

    def _outputs(self) -> list[str]:
        """Returns the outputs that learn."""
        return list(self.objectives(self.config))

    def _checked(self, method: Callable, args: tuple, kwargs: dict) -> dict[str, Any]:
        """Returns the arguments of a method by name, its data checked."""
        takes = inspect.signature(method)
        given = dict(takes.bind(*args, **kwargs).arguments)
        given.update(given.pop("kwargs", {}))
        if given.get("_use_cached_eval_dataset"):
            return given  # fit() has checked it
        trains = "class_weight" in takes.parameters
        if trains:
            self._follow_frozen_layers()
            self._weigh_classes(given.pop("class_weight", None))
        data = [given.get(name) for name in BATCH]
        if "y" not in takes.parameters:  # labels among the inputs are not looked at
            data = [labels.split(data, self._outputs())[0], None, None]
        batch = self.checked_batch(*data)
        if "y" in takes.parameters and isinstance(batch[0], Mapping):
            self._require_labels(batch[1])
        if trains and self._class_weights is not None and batch[1] is not None:
            self._learned_classes(batch[1])
        given |= {k: v for k, v in zip(BATCH, batch, strict=True) if v is not None}
        if given.get("validation_data") is not None:
            data = keras.utils.unpack_x_y_sample_weight(given["validation_data"])
            given["validation_data"] = self.checked_batch(*data)
        return {name: x for name, x in given.items() if name in _names(takes)}

    def checked_batch(
        self, x: Any, y: Any = None, weights: Any = None
    ) -> tuple[Any, Any, Any]:
        """Returns inputs, labels and weights; refuses what is wrong with them.

        Args:
            x: inputs of the model, also with labels by the names of `transformers`;
                what is no array, list or dict is returned as it is.
            y, weights: as for `fit`.

        Raises:
            InputError: naming the input, row, column, value and what it may be.
        """
        if not (isinstance(x, str | Mapping | list | tuple) or hasattr(x, "shape")):
            # Of a dataset the values come later.
            return self.tokenized_dataset(x), y, weights
        x, y, weights = labels.split((x, y, weights), self._outputs())
        x = self.check(x)
        rows = x["input_ids"].shape[0]
        if rows == 0:
            raise InputError("Expected at least one row. Received: none.")
        y = self._checked_labels(y, x)
        return x, y, self._checked_weights(weights, y, rows)

    def _require_labels(self, y: Any) -> None:
        if y is None and self.loss is not None:
            raise InputError(
                f"Expected labels of {', '.join(self._outputs())}. Received: none. "
                "Pass y, or batches of (inputs, labels)."
            )

    def _checked_labels(self, y: Any, x: Mapping[str, Any]) -> Any:
        learned = self._learned_outputs()
        if y is None or not learned:
            return y
        if not isinstance(y, Mapping) and len(learned) == 1:
            return next(iter(learned.values())).check(y, x)
        if not isinstance(y, Mapping) or learned.keys() - y.keys():
            raise InputError(
                f"Expected labels of {', '.join(learned)}: a dict, or a list in this "
                f"order. Received: {list(y) if isinstance(y, Mapping) else type(y)}."
            )
        checked = {name: value.check(y[name], x) for name, value in learned.items()}
        return {**y, **checked}

    def _checked_weights(self, weights: Any, y: Any, rows: int) -> Any:
        check, given = labels.check_weights, y if isinstance(y, Mapping) else {}
        if not isinstance(weights, Mapping):
            return weights if weights is None else check(weights, rows, y)
        weights = {k: check(value, rows, given.get(k)) for k, value in weights.items()}
        # Keras wants one for every output that has labels.
        missing = given.keys() - weights.keys()
        return {**dict.fromkeys(missing, np.ones(rows, "float32")), **weights}

    def _learned_outputs(self) -> dict[str, labels.Learned]:
        """Returns what the losses of this package learn, by output."""
        objectives = self.objectives(self.config)
        loss = self.loss if self.compiled else _by_output(objectives, "new_loss")
        several = isinstance(loss, Mapping)
        losses: dict = loss if several else dict.fromkeys(objectives, loss)
        sizes = self.family.sizes(self.config)
        return {
            output: labels.Learned(
                "labels" if len(objectives) == 1 else f"labels of {output}",
                objectives[output].axes,
                losses[output],
                sizes,
            )
            for output in objectives
            if isinstance(losses.get(output), WeightedMean)
        }

    # === Frozen layers ===

    def _follow_frozen_layers(self) -> None:
        """Makes a new training step if layers were frozen or thawed since the last.

        The old one would go on training what it did before, without a word.

        Raises:
            InputError: the optimizer has no state for what is trained now.
        """
        step = self.train_function
        if not isinstance(step, _TrainingStep) or step.is_current():
            return  # not made yet, or made by a subclass
        now = [v.path for v in self.trainable_variables]
        known = {v.path for v in self.optimizer._trainable_variables}
        if keras.backend.backend() == "jax" or not known.issuperset(now):
            step.give_back()
            raise InputError(
                f"Expected to train the {len(step.trained)} variables that the "
                f"optimizer was made for. Received: {len(now)}, other ones. Call "
                "compile() again after layers were frozen or thawed."
            )
        self.make_train_function(force=True)

    # === Weights of classes ===

    _class_weights: Any = None

    def _weigh_classes(self, class_weight: Mapping[int, float] | None) -> None:
        """Prepares for steps that weigh labels by their class."""
        table: Any = None
        if class_weight is not None:
            sizes, learned = self.family.sizes(self.config), self._learned_classes()
            classes = sizes[names(learned.axes)[-1]]
            table = labels.class_table(class_weight, classes)
        if not np.array_equal(table, self._class_weights):
            self._class_weights, self.train_function = table, None

    def _learned_classes(self, y: Any = None) -> labels.Learned:
        """Returns what is learned, if that is classes of one output."""
        learned = [x for x in self._learned_outputs().values() if x.numbers_classes(y)]
        if len(self._outputs()) != 1 or not learned:
            raise InputError(
                "Expected class_weight for one output that learns numbers of classes. "
                f"Received: {type(self).__name__}, which has other labels. Pass "
                "sample_weight."
            )
        return learned[0]

    # === Steps ===

    # On JAX the state comes first.
    def train_step(self, *args: Any) -> Any:
        *state, data = args
        x, y, weights = labels.split(data, self._outputs())
        if self._class_weights is not None:
            self._learned_classes(y)
            weights = labels.weighed_by_class(self._class_weights, y, weights)
        return super().train_step(*state, (x, y, weights))

    def test_step(self, *args: Any) -> Any:
        *state, data = args
        return super().test_step(*state, labels.split(data, self._outputs()))

    def predict_step(self, *args: Any) -> Any:
        *state, data = args
        return super().predict_step(*state, labels.split(data, self._outputs()))

    def _symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        if data_batch is not None:
            data_batch = labels.split(data_batch, self._outputs())
        batches = self._labeled_batches(iterator)
        super()._symbolic_build(iterator=batches, data_batch=data_batch)

    def _labeled_batches(self, iterator: Any) -> Iterator[tuple[Any, Any, list]]:
        for begin, end, data in iterator:
            batch = data[0] if isinstance(data, list | tuple) else next(data)
            yield begin, end, [labels.split(batch, self._outputs())]

    # === Values, on JAX ===

    def _purge_model_variables(self, **kinds: bool) -> None:
        """Leaves the variables their values, which Keras takes away before a step.

        A compiled step takes over the arrays themselves, so that they need no memory,
        unless it cannot be traced: then the model is as it was.
        """

    @contextlib.contextmanager
    def _values_kept(self) -> Iterator[None]:
        """Gives variables the values of the last step after an error in the next."""
        try:
            yield
        except BaseException:
            if keras.backend.backend() == "jax":
                self.jax_state_sync()
                self._jax_state = None
            raise

    # === Losses and metrics ===

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
            loss, metrics, weighted_metrics: as for Keras; None takes the head's. Names
                mean the head's own, which know what to ignore:
                "sparse_categorical_crossentropy", "accuracy", "mse" and others.
            **kwargs: further arguments of Keras' `compile`.

        Raises:
            UnknownNameError: a name means nothing for this head.
            ConfigError: a loss or a metric takes probabilities; outputs are logits.
        """
        if optimizer is None:
            optimizer = AdamW(learning_rate=5e-5)
        if kwargs.pop("auto_scale_loss", True):
            optimizer = scale_float16(
                keras.optimizers.get(optimizer), self.dtype_policy
            )
        kwargs["auto_scale_loss"] = False  # Keras asks for the global policy alone
        kwargs.setdefault("jit_compile", compilation.jit_compile_by_default())
        objectives = self.objectives(self.config)
        if loss is None:
            kwargs.setdefault("loss_weights", _by_output(objectives, "loss_weight"))
            if metrics is None and weighted_metrics is None:
                weighted_metrics = _by_output(objectives, "new_metrics")
            loss = _by_output(objectives, "new_loss")
        loss = compilation.resolve_losses(loss, objectives)
        objectives = compilation.learning_by(objectives, loss)
        super().compile(
            optimizer=optimizer,
            loss=loss,
            metrics=compilation.resolve_metrics(metrics, objectives),
            weighted_metrics=compilation.resolve_metrics(weighted_metrics, objectives),
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
        if self.train_function is None or force:
            super().make_train_function(force)
            self.train_function = _TrainingStep(self, self.train_function)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Computes the loss of the outputs that are learned; see `keras.Model`."""
        self._require_labels(y)
        if x is not None:
            y = self._checked_labels(y, self.check(x))
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
        if config and self.optimizer is not None:
            # Not always the trainable ones: a layer may have been frozen meanwhile.
            built = self.optimizer.built
            trained = self.optimizer._trainable_variables if built else []
            config = {**config, "optimizer_variables": [v.path for v in trained]}
        return config

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compiles a reloaded model as it was saved, its optimizer included."""
        config = dict(config)
        paths = config.pop("optimizer_variables", None)
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is None or paths == []:
            return  # it was not built when it was saved
        by_path = {v.path: v for v in flat_order(self.trainable_variables)}
        if paths:
            by_path = {v.path: v for v in self.variables}
        if not by_path.keys() >= {*(paths or ())}:
            return  # adapters, which files hold merged; Keras warns of the state
        self.optimizer.build([by_path[path] for path in paths or by_path])


class _TrainingStep:
    """A training step, which knows what it trains.

    Args:
        model: that is trained.
        function: the step of Keras, for what is trainable now.
    """

    def __init__(self, model: Trainable, function: Callable) -> None:
        self.model, self.function = model, function
        self.trained = model.trainable_variables
        self._others = model.non_trainable_variables
        self._all = model.variables
        self._flags = self._now()

    def _now(self) -> list[bool]:
        return [self.model.trainable, *(v.trainable for v in self._all)]

    def is_current(self) -> bool:
        """Whether the same variables are trainable still."""
        return self._now() == self._flags

    def __call__(self, *args: Any) -> Any:
        """Takes a step; a callback may have frozen or thawed layers before it."""
        self.model._follow_frozen_layers()
        return self.model.train_function.function(*args)

    def give_back(self) -> None:
        """Assigns the values that Keras holds on JAX, by position, in an epoch."""
        state = getattr(self.model, "_jax_state", None) or {}
        for variables, kind in ((self.trained, ""), (self._others, "non_")):
            values = state.pop(f"{kind}trainable_variables", None) or []
            for variable, value in zip(variables, values, strict=False):
                variable.assign(value)


def _by_output(objectives: Mapping[str, Objective], attribute: str) -> Any:
    """A dict by output name; the value itself where the logits are the one output."""
    values = {name: getattr(x, attribute) for name, x in objectives.items()}
    if all(value is None for value in values.values()):
        return None
    return values.get("logits", values)


def _traces_on_one_device(model: keras.Model) -> bool:
    on_tensorflow = keras.backend.backend() == "tensorflow"
    return on_tensorflow and model._distribute_strategy is None


def _names(takes: inspect.Signature) -> set[str]:
    """Names of the arguments of a method; further ones are Keras' own."""
    return {*takes.parameters, "_use_cached_eval_dataset"}
