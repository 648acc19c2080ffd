"""The heads: each a few layers on the encoder, their outputs, what they learn."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import keras
from keras import ops

from keras_bert import losses
from keras_bert.config import Config
from keras_bert.features import ENCODER_INPUTS
from keras_bert.layers import (
    MaskedLMTransform,
    OutputBias,
    Pooler,
    activations,
    gather_positions,
)
from keras_bert.layers.crf import Transitions
from keras_bert.layers.embeddings import WordEmbeddings
from keras_bert.layers.heads import WindowQuery, pool_tokens, pool_windows
from keras_bert.losses import Objective
from keras_bert.models.encoder import Encoded
from keras_bert.models.pretrained import PreTrainedModel

Tensor = Any
Tensors = dict[str, Tensor]


def _classes(axes: str, **options: Any) -> Objective:
    return Objective(losses.Crossentropy, losses.Accuracy, axes, **options)


class EncoderOutputs(PreTrainedModel):
    """The encoder alone.

    Args:
        config: the hyper-parameters.
        add_pooling_layer: also return `pooler_output`.
        dtype, seed, name: see `PreTrainedModel`.

    Returns:
        A dict: `last_hidden_state` `(batch, seq, hidden)`; `pooler_output`
        `(batch, hidden)`; where the config asks, `hidden_states`, a tuple of
        layers + 1, and `attentions`, a tuple of `(batch, heads, seq, seq)`.

    Example:
        >>> from keras_bert import BertConfig, BertModel
        >>> model = BertModel(BertConfig.preset("tiny", vocab_size=99))
        >>> model({"input_ids": np.array([[1, 2, 3]])})["pooler_output"].shape
        TensorShape([1, 128])
    """

    kind = "encoder"

    @classmethod
    def parts_for(cls, add_pooling_layer: bool = True) -> tuple[str, ...]:
        parts = super().parts_for()
        return tuple(p for p in parts if p != "pooler" or add_pooling_layer)

    def outputs(self, encoded: Encoded, inputs: Tensors, training: bool) -> Tensors:
        outputs = {"last_hidden_state": encoded.last_hidden_state}
        if self.encoder.pooler:
            outputs["pooler_output"] = self.pooled(encoded, inputs)
        return outputs


class MaskedLM(PreTrainedModel):
    """Predicts tokens at `masked_lm_positions`, with the word embeddings.

    Where `config.tie_word_embeddings` is False, with an output matrix of its own.

    Call arguments:
        inputs: as for `PreTrainedModel`, and `masked_lm_positions`
            `(batch, predictions)`; absent: every position.

    Returns:
        float32 logits `(batch, predictions, vocab)`.

    Source: Devlin et al. 2018 (arXiv:1810.04805) section 3.1.
    """

    kind = "masked_lm"
    per_token = True
    input_names: ClassVar[tuple[str, ...]] = (*ENCODER_INPUTS, "masked_lm_positions")

    @classmethod
    def objectives(cls, config: Config) -> Mapping[str, Objective]:
        return {"logits": _classes("batch predictions vocab")}

    def make_head(self) -> None:
        self.masked_lm = self.add_layer(MaskedLMTransform, "masked_lm")
        self.masked_lm_bias = self.add_layer(OutputBias, "masked_lm_bias")
        self.masked_lm_decoder = None
        if not self.config.tie_word_embeddings:
            self.masked_lm_decoder = self.add_table(
                WordEmbeddings, "masked_lm_decoder", self.config.vocab_size
            )

    def project(self, hidden: Tensor) -> Tensor:
        """Returns logits `(batch, predictions, vocab)`."""
        table = self.masked_lm_decoder or self.encoder.embeddings.word_embeddings
        return self.masked_lm_bias(table(self.masked_lm(hidden), reverse=True))

    def masked(self, encoded: Encoded, inputs: Tensors) -> Tensor:
        """Returns the logits at `masked_lm_positions`."""
        positions = inputs["masked_lm_positions"]
        return self.project(gather_positions(encoded.last_hidden_state, positions))

    def outputs(self, encoded: Encoded, inputs: Tensors, training: bool) -> Tensors:
        return {"logits": self.masked(encoded, inputs)}


class CausalLM(MaskedLM):
    """Left-to-right language model: float32 logits `(batch, seq, vocab)`.

    Labels are the `input_ids` themselves; the loss shifts them by one. Positions see
    only earlier ones where `config.is_decoder` is True, as in Hugging Face.

    Source: `BertLMHeadModel` in Hugging Face's `modeling_bert.py`.
    """

    kind = "lm_head"
    input_names = ENCODER_INPUTS

    @classmethod
    def objectives(cls, config: Config) -> Mapping[str, Objective]:
        kinds = losses.NextTokenCrossentropy, losses.NextTokenAccuracy
        return {"logits": Objective(*kinds, "batch seq vocab")}

    def outputs(self, encoded: Encoded, inputs: Tensors, training: bool) -> Tensors:
        return {"logits": self.project(encoded.last_hidden_state)}


class NextSentence(PreTrainedModel):
    """Next-sentence prediction alone: float32 logits `(batch, 2)`, class 0 "is next".

    Source: Devlin et al. 2018 (arXiv:1810.04805) section 3.1.
    """

    kind = "next_sentence"

    @classmethod
    def objectives(cls, config: Config) -> Mapping[str, Objective]:
        return {"logits": _classes("batch two")}

    def make_head(self) -> None:
        self.next_sentence = self.add_output(2, "next_sentence")

    def outputs(self, encoded: Encoded, inputs: Tensors, training: bool) -> Tensors:
        return {"logits": self.next_sentence(self.pooled(encoded, inputs))}


class PreTraining(MaskedLM):
    """Masked LM and next-sentence prediction, as BERT was pretrained.

    Call arguments:
        inputs: as for `MaskedLM`.

    Returns:
        A dict: `prediction_logits` float32 `(batch, predictions, vocab)`;
        `seq_relationship_logits` float32 `(batch, 2)`, class 0 "is next".

    Source: Devlin et al. 2018 (arXiv:1810.04805) section 3.1; `run_pretraining.py`.
    """

    kind = "pretraining"
    per_token = False
    input_names = (*MaskedLM.input_names, "cls_positions")

    @classmethod
    def objectives(cls, config: Config) -> Mapping[str, Objective]:
        return {
            "prediction_logits": _classes("batch predictions vocab"),
            "seq_relationship_logits": _classes("batch two"),
        }

    def make_head(self) -> None:
        super().make_head()
        self.next_sentence = self.add_output(2, "next_sentence")

    def outputs(self, encoded: Encoded, inputs: Tensors, training: bool) -> Tensors:
        return {
            "prediction_logits": self.masked(encoded, inputs),
            "seq_relationship_logits": self.next_sentence(self.pooled(encoded, inputs)),
        }


class SentenceOrder(PreTraining):
    """Masked LM and the order of two sentences, as ALBERT was pretrained.

    Returns:
        A dict: `prediction_logits` float32 `(batch, predictions, vocab)`; `sop_logits`
        float32 `(batch, 2)`, class 1 "switched".

    Source: Lan et al. 2019 (arXiv:1909.11942) section 3.1; `AlbertForPreTraining` in
    Hugging Face's `modeling_albert.py`.
    """

    kind = "sentence_order"

    def __init__(self, config: Config, **kwargs: Any):
        # transformers makes its output layer as wide as num_labels.
        super().__init__(config.replace(num_labels=2), **kwargs)

    @classmethod
    def objectives(cls, config: Config) -> Mapping[str, Objective]:
        return {
            "prediction_logits": _classes("batch predictions vocab"),
            "sop_logits": _classes("batch two"),
        }

    def make_head(self) -> None:
        MaskedLM.make_head(self)
        rate = self.config.dropout_of(self.kind)
        self.dropout = self.add_dropout(rate, "classifier_dropout")
        self.sentence_order = self.add_output(2, "sentence_order")

    def outputs(self, encoded: Encoded, inputs: Tensors, training: bool) -> Tensors:
        pooled = self.pooled(encoded, inputs)
        dropped = self.dropout(pooled, encoded.dropout_seed, training=training)
        return {
            "prediction_logits": self.masked(encoded, inputs),
            "sop_logits": self.sentence_order(dropped),
        }


_PROBLEMS = {
    None: (losses.ClassificationLoss, losses.Accuracy),
    "single_label_classification": (losses.Crossentropy, losses.Accuracy),
    "multi_label_classification": (losses.BinaryCrossentropy, losses.Accuracy),
    "regression": (losses.SquaredError, keras.metrics.MeanSquaredError),
}


SCORES = "window_scores"  # an output for who pools windows, and not for others


class SequenceClassification(PreTrainedModel):
    """Classifies or scores rows: float32 logits `(batch, num_labels)`.

    The loss follows `config.problem_type`; where that is None, one label is a
    regression, labels as wide as the logits are several at once, and integers are
    classes, as in Hugging Face.

    With a `window_pooling`, a name of `keras_bert.layers.heads.WINDOW_POOLINGS`, inputs
    may be the windows of long texts, `(batch, windows, seq)`; a text's logits are those
    of its windows, pooled. Windows of padding alone do not count.

    Source: Devlin et al. 2018 (arXiv:1810.04805) section 4.1; `run_classifier.py`.
    """

    kind = "sequence_classification"
    internal = (SCORES,)
    window_pooling: str | None = None

    @classmethod
    def objectives(cls, config: Config) -> Mapping[str, Objective]:
        one_number = config.problem_type is None and config.num_labels == 1
        kinds = _PROBLEMS["regression" if one_number else config.problem_type]
        return {"logits": Objective(*kinds, "batch classes")}

    @property
    def num_outputs(self) -> int:
        """Width of the last layer."""
        return self.config.num_labels

    @property
    def token_pooling(self) -> str:
        """How a head with a transform pools tokens."""
        return self.config.classifier_pooling

    def make_head(self) -> None:
        own, rate = (
            self.family.poolers.get(self.kind),
            self.config.dropout_of(self.kind),
        )
        self.pre_classifier, self.pre_dropout = None, None
        self.masked_lm = self.add_transform()
        if own:
            options = {"activation": own.activation or self.config.hidden_act}
            self.pre_classifier = self.add_layer(Pooler, "pre_classifier", **options)
        if own and own.drops:
            self.pre_dropout = self.add_dropout(rate, "pre_classifier_dropout")
        self.dropout = self.add_dropout(rate, "classifier_dropout")
        self.classifier = self.add_output(self.num_outputs, "classifier")
        self.window_query = None
        if self.config.learned_windows and not self.choices:
            self.window_query = self.add_layer(WindowQuery, "window_query")

    def vectors(self, encoded: Encoded, inputs: Tensors, training: bool) -> Tensor:
        """Returns what the last layer takes, for each row."""
        drop = {"seed": encoded.dropout_seed, "training": training}
        hidden, positions = encoded.last_hidden_state, inputs.get("cls_positions")
        if self.masked_lm:
            mask = inputs["attention_mask"]
            pooled = pool_tokens(hidden, mask, self.token_pooling, positions)
            pooled = self.masked_lm(pooled)
        elif self.pre_classifier:
            before = self.pre_dropout and partial(self.pre_dropout, **drop)
            pooled = self.pre_classifier(hidden, positions, drop=before)
        else:
            pooled = self.pooled(encoded, inputs)
        return self.dropout(pooled, **drop)

    def classify(self, encoded: Encoded, inputs: Tensors, training: bool) -> Tensor:
        """Returns the outputs of the last layer, for each row."""
        return self.classifier(self.vectors(encoded, inputs, training))

    def rank_of(self, inputs: Any) -> int:
        ids = inputs.get("input_ids") if isinstance(inputs, Mapping) else None
        windows = (
            self.window_pooling is not None and len(getattr(ids, "shape", ())) == 3
        )
        return 3 if windows else super().rank_of(inputs)

    def rows(self, inputs: Tensors) -> Tensors:
        if len(inputs["input_ids"].shape) == 2:
            return inputs
        # (batch, windows or choices, seq) -> (batch windows, seq)
        return {k: ops.reshape(x, (-1, ops.shape(x)[-1])) for k, x in inputs.items()}

    def outputs(self, encoded: Encoded, inputs: Tensors, training: bool) -> Tensors:
        vectors = self.vectors(encoded, self.rows(inputs), training)
        logits, mask = self.classifier(vectors), inputs["attention_mask"]
        scores = self.window_query and self.window_query(vectors)
        if self.window_pooling is not None and len(mask.shape) == 3:
            return {"logits": pool_windows(logits, mask, self.window_pooling, scores)}
        return {"logits": logits} | ({} if scores is None else {SCORES: scores})


class MultipleChoice(SequenceClassification):
    """Chooses among alternatives: inputs `(batch, choices, seq)`, logits float32
    `(batch, choices)`; the label is the number of the right one.

    Source: Devlin et al. 2018 (arXiv:1810.04805) section 4.4 (SWAG).
    """

    kind = "multiple_choice"
    choices = True
    num_outputs = 1
    input_names = ENCODER_INPUTS  # a row of choices is not packed

    @property
    def token_pooling(self) -> str:
        # As in Hugging Face: choices may be padded on the left, rows not.
        pooling = self.config.classifier_pooling
        return "first" if pooling == "cls" else pooling

    @classmethod
    def objectives(cls, config: Config) -> Mapping[str, Objective]:
        return {"logits": _classes("batch choices")}

    def outputs(self, encoded: Encoded, inputs: Tensors, training: bool) -> Tensors:
        scores = self.classify(encoded, self.rows(inputs), training)
        # (batch choices, 1)
        choices = ops.shape(inputs["input_ids"])[1]
        return {"logits": ops.reshape(scores, (-1, choices))}


class TokenClassification(PreTrainedModel):
    """Classifies every token: float32 logits `(batch, seq, num_labels)`.

    Label -100 is ignored. Where `config.crf`, the labels of a row are those of a
    conditional random field, and logits `(batch, seq, num_labels + 1, num_labels)`:
    the scores of a label by the label before it, and in the last row without one; see
    `keras_bert.layers.crf`.

    Source: Devlin et al. 2018 (arXiv:1810.04805) section 5.3.
    """

    kind = "token_classification"
    per_token = True

    @classmethod
    def objectives(cls, config: Config) -> Mapping[str, Objective]:
        if config.crf:
            kinds = losses.PathLoss, losses.FirstLabelAccuracy
            return {"logits": Objective(*kinds, "batch seq previous classes")}
        return {"logits": _classes("batch seq classes")}

    def make_head(self) -> None:
        rate = self.config.dropout_of(self.kind)
        self.masked_lm = self.add_transform()
        self.dropout = self.add_dropout(rate, "classifier_dropout")
        self.classifier = self.add_output(self.config.num_labels, "classifier")
        self.transitions = None
        if self.config.crf:
            self.transitions = self.add_layer(Transitions, "transitions")

    def outputs(self, encoded: Encoded, inputs: Tensors, training: bool) -> Tensors:
        hidden, seed = encoded.last_hidden_state, encoded.dropout_seed
        hidden = self.masked_lm(hidden) if self.masked_lm else hidden
        logits = self.classifier(self.dropout(hidden, seed, training=training))
        return {"logits": self.transitions(logits) if self.transitions else logits}


class ReplacedTokens(PreTrainedModel):
    """Tells tokens that were replaced from those that were not: float32 logits
    `(batch, seq)`, above 0 for replaced ones.

    Labels are 1 for a replaced token, 0 for another and -100 to ignore one, such as
    padding, which Hugging Face leaves out by the attention mask.

    Source: Clark et al. 2020 (arXiv:2003.10555) section 2; `ElectraForPreTraining` in
    Hugging Face's `modeling_electra.py`.
    """

    kind = "replaced_tokens"
    per_token = True

    @classmethod
    def objectives(cls, config: Config) -> Mapping[str, Objective]:
        kinds = losses.TokenBinaryCrossentropy, losses.BinaryAccuracy
        return {"logits": Objective(*kinds, "batch seq")}

    def make_head(self) -> None:
        width = self.config.hidden_size
        self.replaced_dense = self.add_dense(width, "replaced_dense", width)
        self.activation = activations.get(self.config.hidden_act)
        self.replaced = self.add_output(1, "replaced")

    def outputs(self, encoded: Encoded, inputs: Tensors, training: bool) -> Tensors:
        hidden = self.activation(self.replaced_dense(encoded.last_hidden_state))
        return {"logits": self.replaced(hidden)[..., 0]}


class QuestionAnswering(PreTrainedModel):
    """Finds answers: `start_logits` and `end_logits`, float32 `(batch, seq)`.

    Source: Devlin et al. 2018 (arXiv:1810.04805) section 4.2; `run_squad.py`.
    """

    kind = "question_answering"
    per_token = True

    def __init__(self, config: Config, **kwargs: Any):
        # transformers makes its output layer as wide as num_labels.
        super().__init__(config.replace(num_labels=2), **kwargs)

    @classmethod
    def objectives(cls, config: Config) -> Mapping[str, Objective]:
        half = _classes("batch seq", loss_weight=0.5)
        return {"start_logits": half, "end_logits": half}

    def make_head(self) -> None:
        rate = self.config.dropout_of(self.kind)
        self.masked_lm = self.add_transform()
        self.dropout = self.add_dropout(rate, "qa_dropout")
        self.qa_outputs = self.add_output(2, "qa_outputs")

    def outputs(self, encoded: Encoded, inputs: Tensors, training: bool) -> Tensors:
        hidden, seed = encoded.last_hidden_state, encoded.dropout_seed
        hidden = self.masked_lm(hidden) if self.masked_lm else hidden
        dropped = self.dropout(hidden, seed, training=training)
        logits = self.qa_outputs(dropped)  # (batch, seq, 2)
        return {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}


HEADS = {
    head.kind: head
    for head in (
        EncoderOutputs,
        PreTraining,
        SentenceOrder,
        MaskedLM,
        CausalLM,
        NextSentence,
        SequenceClassification,
        TokenClassification,
        ReplacedTokens,
        QuestionAnswering,
        MultipleChoice,
    )
}
HEADS["causal_lm"] = CausalLM  # what some families call it
