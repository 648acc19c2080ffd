"""Text to ids and back: the host tokenizer, vocabulary training, the in-graph one."""

from keras_bert.tokenization.tokenizer import BertTokenizer

__all__ = ["BertTokenizer"]
