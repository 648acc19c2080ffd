"""The models by the names their users know: an encoder and a head each."""

import keras

from keras_bert.features import ENCODER_INPUTS
from keras_bert.models import heads
from keras_bert.models.base import BertPreTrainedModel

_register = keras.saving.register_keras_serializable(package="keras_bert")
_MASKED_LM_INPUTS = (*ENCODER_INPUTS, "masked_lm_positions")


@_register
class BertModel(BertPreTrainedModel):
    """The encoder alone.

    Args:
        config: the hyper-parameters.
        add_pooling_layer: also return `pooler_output`.
        dtype, seed, name: see `BertPreTrainedModel`.

    Returns:
        A dict: `last_hidden_state` `(batch, seq, hidden)`; `pooler_output`
        `(batch, hidden)`; where the config asks, `hidden_states`, a tuple of
        layers + 1, and `attentions`, a tuple of `(batch, heads, seq, seq)`.

    Example:
        >>> model = BertModel(BertConfig.preset("tiny", vocab_size=99))
        >>> model({"input_ids": np.array([[1, 2, 3]])})["pooler_output"].shape
        TensorShape([1, 128])

    Source: Devlin et al. 2018 (arXiv:1810.04805) section 3; `BertModel` in
    Google's `modeling.py`.
    """

    parts = ("encoder", "pooler")
    head = heads.EncoderOutputs

    @classmethod
    def parts_for(cls, add_pooling_layer: bool = True) -> tuple[str, ...]:
        return cls.parts if add_pooling_layer else ("encoder",)


@_register
class BertForPreTraining(BertPreTrainedModel):
    """Masked LM and next-sentence prediction, as BERT was pretrained.

    Call arguments:
        inputs: as for `BertModel`, and `masked_lm_positions`
            `(batch, predictions)`; absent: every position.

    Returns:
        A dict: `prediction_logits` float32 `(batch, predictions, vocab)`;
        `seq_relationship_logits` float32 `(batch, 2)`, class 0 "is next".

    Source: Devlin et al. 2018 section 3.1; `run_pretraining.py`.
    """

    parts = ("encoder", "pooler", "masked_lm", "next_sentence")
    head = heads.PreTraining
    input_names = _MASKED_LM_INPUTS


@_register
class BertForMaskedLM(BertPreTrainedModel):
    """Masked LM alone: float32 logits `(batch, predictions, vocab)`.

    Source: Devlin et al. 2018 section 3.1.
    """

    parts = ("encoder", "masked_lm")
    head = heads.MaskedLM
    input_names = _MASKED_LM_INPUTS


@_register
class BertLMHeadModel(BertPreTrainedModel):
    """Left-to-right language model: float32 logits `(batch, seq, vocab)`.

    Labels are the `input_ids` themselves; the loss shifts them by one. Positions
    see only earlier ones where `config.is_decoder` is True, as in Hugging Face.

    Source: `BertLMHeadModel` in Hugging Face's `modeling_bert.py`.
    """

    parts = ("encoder", "masked_lm")
    head = heads.CausalLM


@_register
class BertForNextSentencePrediction(BertPreTrainedModel):
    """Next-sentence prediction alone: float32 logits `(batch, 2)`.

    Source: Devlin et al. 2018 section 3.1.
    """

    parts = ("encoder", "pooler", "next_sentence")
    head = heads.NextSentence


@_register
class BertForSequenceClassification(BertPreTrainedModel):
    """Classifies or scores rows: float32 logits `(batch, num_labels)`.

    The loss follows `config.problem_type`; where that is None, one label is a
    regression, labels as wide as the logits are several at once, and integers
    are classes, as in Hugging Face.

    Source: Devlin et al. 2018 section 4.1; `run_classifier.py`.
    """

    parts = ("encoder", "pooler", "sequence_classifier")
    head = heads.SequenceClassification


@_register
class BertForTokenClassification(BertPreTrainedModel):
    """Classifies every token: float32 logits `(batch, seq, num_labels)`.

    Source: Devlin et al. 2018 section 5.3.
    """

    parts = ("encoder", "token_classifier")
    head = heads.TokenClassification


@_register
class BertForQuestionAnswering(BertPreTrainedModel):
    """Finds answers: `start_logits` and `end_logits`, float32 `(batch, seq)`.

    Source: Devlin et al. 2018 section 4.2; `run_squad.py`.
    """

    parts = ("encoder", "qa")
    head = heads.QuestionAnswering


@_register
class BertForMultipleChoice(BertPreTrainedModel):
    """Chooses among alternatives: inputs `(batch, choices, seq)`, logits
    float32 `(batch, choices)`.

    Source: Devlin et al. 2018 section 4.4 (SWAG).
    """

    parts = ("encoder", "pooler", "multiple_choice")
    head = heads.MultipleChoice
