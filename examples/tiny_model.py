"""A small BERT with random weights, so that the examples run without a checkpoint."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import mkdtemp

from keras_bert import BertConfig, BertForPreTraining, BertTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def tiny_model(texts: Iterable[str]) -> Path:
    """Returns a new checkpoint, whose vocabulary is the words of some texts."""
    words = sorted({word for text in texts for word in text.lower().split()})
    tokenizer = BertTokenizer([*SPECIAL, *words])
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    model = BertForPreTraining(config, seed=1)
    return model.save_pretrained(Path(mkdtemp()) / "tiny", tokenizer=tokenizer)
