"""The public names as type checkers and editors see them; `__init__.py` loads them."""

from keras_bert.errors import KerasBertError
from keras_bert.families.bert import BertConfig
from keras_bert.models import heads
from keras_bert.tokenization.layer import BertTokenizerLayer
from keras_bert.tokenization.tokenizer import BertTokenizer
from keras_bert.version import __version__

class BertForMaskedLM(heads.MaskedLM): ...
class BertForMultipleChoice(heads.MultipleChoice): ...
class BertForNextSentencePrediction(heads.NextSentence): ...
class BertForPreTraining(heads.PreTraining): ...
class BertForQuestionAnswering(heads.QuestionAnswering): ...
class BertForSequenceClassification(heads.SequenceClassification): ...
class BertForTokenClassification(heads.TokenClassification): ...
class BertLMHeadModel(heads.CausalLM): ...
class BertModel(heads.EncoderOutputs): ...

__all__ = [
    "BertConfig",
    "BertForMaskedLM",
    "BertForMultipleChoice",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertLMHeadModel",
    "BertModel",
    "BertTokenizer",
    "BertTokenizerLayer",
    "KerasBertError",
    "__version__",
]
