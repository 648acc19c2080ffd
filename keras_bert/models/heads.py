"""The heads: each a few layers on the encoder, with its loss and metrics.

A head is a plain object that makes its layers once and is then applied to
symbolic tensors, so that the packed graph can apply it a second time.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras

from keras_bert.config import Config
from keras_bert.layers import (
    Dropout,
    FlattenChoices,
    GatherPositions,
    MaskedLMTransform,
    OutputBias,
    SplitSpan,
    UnflattenChoices,
)
from keras_bert.layers.initializers import normal
from keras_bert.models import losses
from keras_bert.models.encoder import Encoder

Tensor = Any

_CLASSES = (losses.Crossentropy, losses.Accuracy)


class Head:
    """Base of the heads.

    Args:
        config: the hyper-parameters.
        encoder: the encoder below.
        dtype: dtype policy.
        seed: seed of the initial values.
    """

    pools = False  # uses the pooler, hence knows packed rows
    choices = False  # inputs have an axis of choices
    # By output: the loss and the metric that `compile()` takes by default.
    learned: ClassVar[Mapping[str, tuple[type, type]]] = {}
    loss_weights: ClassVar[Mapping[str, float] | None] = None

    def __init__(self, config: Config, encoder: Encoder, *, dtype: Any, seed: Any):
        self.config, self.encoder = config, encoder
        self.dtype, self.seed = dtype, seed
        self.make_layers()

    def make_layers(self) -> None:
        """Makes the head's layers; called once."""

    def rows(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns the inputs as the encoder takes them, `(batch, seq)`."""
        return inputs

    def __call__(self, encoded: dict, inputs: dict[str, Tensor]) -> dict[str, Any]:
        """Returns the model's outputs by name."""
        states = {key: encoded[key] for key in ("hidden_states", "attentions")}
        return {**self.outputs(encoded, inputs), **states}

    def outputs(self, encoded: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        raise NotImplementedError

    # === Learning ===

    @classmethod
    def learning(cls, config: Config) -> Mapping[str, tuple[type, type]]:
        """Returns the kinds of loss and metric of every output that is learned."""
        return cls.learned

    @classmethod
    def loss(cls, config: Config) -> Any:
        """Returns a new loss, a dict of them by output, or None."""
        kinds = {name: loss() for name, (loss, _) in cls.learning(config).items()}
        return kinds.get("logits", kinds or None)

    @classmethod
    def metrics(cls, config: Config) -> Any:
        """Returns a list of new metrics, a dict of such lists by output, or None."""
        kinds = {name: [kind()] for name, (_, kind) in cls.learning(config).items()}
        return kinds.get("logits", kinds or None)

    # === Pieces of heads ===

    def pooled(self, encoded: dict, inputs: dict[str, Tensor]) -> Tensor:
        """Pools the first token, or the first of every piece of a packed row."""
        return self.encoder.pooler(
            encoded["last_hidden_state"], inputs.get("cls_positions")
        )

    def dense(self, units: int, name: str) -> keras.layers.Dense:
        """A dense layer whose logits are float32 under every dtype policy."""
        return keras.layers.Dense(
            units,
            kernel_initializer=normal(self.config.initializer_range, self.seed, name),
            dtype="float32",
            name=name,
        )

    def dropout(self) -> Dropout:
        """The dropout before a classification head."""
        rate = self.config.head_dropout
        return Dropout(rate, "classifier", dtype=self.dtype, name="classifier_dropout")


class EncoderOutputs(Head):
    """No head: the encoder's own outputs."""

    @property
    def pools(self) -> bool:
        return self.encoder.pooler is not None

    def outputs(self, encoded: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        outputs = {"last_hidden_state": encoded["last_hidden_state"]}
        if self.pools:
            outputs["pooler_output"] = self.pooled(encoded, inputs)
        return outputs


class MaskedLM(Head):
    """Predicts tokens at `masked_lm_positions`, with the word embeddings."""

    learned: ClassVar = {"logits": _CLASSES}

    def make_layers(self) -> None:
        config = self.config
        self.gather = GatherPositions(dtype=self.dtype, name="gather_masked")
        self.transform = MaskedLMTransform(
            config.transform_act,
            config.transform_eps,
            config.initializer_range,
            self.seed,
            config.embedding_size,
            dtype=self.dtype,
            name="masked_lm",
        )
        self.bias = OutputBias(name="masked_lm_bias", dtype=self.dtype, autocast=False)

    def project(self, hidden: Tensor) -> Tensor:
        """Returns logits `(batch, predictions, vocab)`."""
        table = self.encoder.embeddings.word_embeddings
        return self.bias(table(self.transform(hidden), reverse=True))

    def outputs(self, encoded: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        positions = inputs["masked_lm_positions"]
        return {
            "logits": self.project(self.gather(encoded["last_hidden_state"], positions))
        }


class CausalLM(MaskedLM):
    """Predicts the next token at every position."""

    learned: ClassVar = {
        "logits": (losses.NextTokenCrossentropy, losses.NextTokenAccuracy)
    }

    def outputs(self, encoded: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self.project(encoded["last_hidden_state"])}


class NextSentence(Head):
    """Tells whether the second sentence follows: class 0 it does, 1 it does not."""

    pools = True
    learned: ClassVar = {"logits": _CLASSES}

    def make_layers(self) -> None:
        self.next_sentence = self.dense(2, "next_sentence")

    def outputs(self, encoded: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self.next_sentence(self.pooled(encoded, inputs))}


class PreTraining(MaskedLM):
    """Masked LM and next sentence together."""

    pools = True
    learned: ClassVar = {
        "prediction_logits": _CLASSES,
        "seq_relationship_logits": _CLASSES,
    }

    def make_layers(self) -> None:
        super().make_layers()
        self.next_sentence = self.dense(2, "next_sentence")

    def outputs(self, encoded: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            "prediction_logits": super().outputs(encoded, inputs)["logits"],
            "seq_relationship_logits": self.next_sentence(self.pooled(encoded, inputs)),
        }


_PROBLEMS = {
    None: (losses.ClassificationLoss, losses.Accuracy),
    "single_label_classification": (losses.Crossentropy, losses.Accuracy),
    "multi_label_classification": (losses.BinaryCrossentropy, losses.Accuracy),
    "regression": (losses.SquaredError, keras.metrics.MeanSquaredError),
}


class SequenceClassification(Head):
    """Classifies a row, or scores it when there is one label."""

    pools = True

    @classmethod
    def learning(cls, config: Config) -> Mapping[str, tuple[type, type]]:
        one_number = config.problem_type is None and config.num_labels == 1
        return {
            "logits": _PROBLEMS["regression" if one_number else config.problem_type]
        }

    def make_layers(self) -> None:
        self.drop = self.dropout()
        self.classifier = self.dense(self.config.num_labels, "classifier")

    def outputs(self, encoded: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        pooled = self.drop(self.pooled(encoded, inputs), encoded["dropout_seed"])
        return {"logits": self.classifier(pooled)}


class TokenClassification(Head):
    """Classifies every token; label -100 is ignored."""

    learned: ClassVar = {"logits": _CLASSES}

    def make_layers(self) -> None:
        self.drop = self.dropout()
        self.classifier = self.dense(self.config.num_labels, "classifier")

    def outputs(self, encoded: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        hidden = self.drop(encoded["last_hidden_state"], encoded["dropout_seed"])
        return {"logits": self.classifier(hidden)}


class QuestionAnswering(Head):
    """Finds where an answer starts and ends."""

    learned: ClassVar = {"start_logits": _CLASSES, "end_logits": _CLASSES}
    loss_weights: ClassVar = {"start_logits": 0.5, "end_logits": 0.5}

    def make_layers(self) -> None:
        self.qa_outputs = self.dense(2, "qa_outputs")
        self.split = SplitSpan(name="split_span", dtype="float32")

    def outputs(self, encoded: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        start, end = self.split(self.qa_outputs(encoded["last_hidden_state"]))
        return {"start_logits": start, "end_logits": end}


class MultipleChoice(Head):
    """Scores every choice of a row; the label is the number of the right one."""

    choices = True
    pools = False  # a row of choices is not packed
    learned: ClassVar = {"logits": _CLASSES}

    def make_layers(self) -> None:
        self.flatten = FlattenChoices(name="flatten_choices")
        self.unflatten = UnflattenChoices(name="unflatten_choices", dtype="float32")
        self.drop = self.dropout()
        self.classifier = self.dense(1, "classifier")

    def rows(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {key: self.flatten(ids) for key, ids in inputs.items()}

    def outputs(self, encoded: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        pooled = self.encoder.pooler(encoded["last_hidden_state"])
        scores = self.classifier(self.drop(pooled, encoded["dropout_seed"]))
        return {"logits": self.unflatten(scores, inputs["input_ids"])}
