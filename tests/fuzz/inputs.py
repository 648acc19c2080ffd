"""Small inputs of commands, made by the package."""

from pathlib import Path

import numpy as np

from keras_bert import BertTokenizer
from tests.checkpoints.fakes import VOCABULARY, tiny_config, write_fake

WORDS = ("ab", "cde", "fg", "hij", "k", "lmno", "pq", "rst", "uv", "wxyz")


def text(folder: Path) -> None:
    """A text of six documents."""
    drawn = np.random.default_rng(0).integers(0, len(WORDS), (6, 4, 7)).tolist()
    documents = ["\n".join(" ".join(WORDS[i] for i in s) for s in d) for d in drawn]
    (folder / "text.txt").write_text("\n\n".join(documents) + "\n")


def tokenizer() -> BertTokenizer:
    return BertTokenizer([*VOCABULARY, *(f"##{chr(c)}" for c in range(97, 108))])


def text_and_vocabulary(folder: Path) -> None:
    """A text, and the tokenizer of another one."""
    text(folder)
    tokenizer().save_pretrained(folder / "out")


def text_and_tokenizer(folder: Path) -> None:
    """A text, and a tokenizer of it."""
    text(folder)
    tokenizer().save_pretrained(folder / "tokenizer")


def records(folder: Path) -> None:
    """Compact records, their tokenizer, and the config of a model."""
    from keras_bert.pretraining.create import create_pretraining_data
    from keras_bert.pretraining.settings import DataSettings

    text_and_tokenizer(folder)
    settings = DataSettings(max_seq_length=11, dupe_factor=1, form="compact")
    create_pretraining_data(
        folder / "text.txt", folder / "records", tokenizer(), settings, progress=False
    )
    (folder / "text.txt").unlink()
    config = tiny_config(vocab_size=42, num_hidden_layers=1, id2label=None)
    (folder / "config.json").write_text(config.to_json_string())


def checkpoint(folder: Path) -> None:
    """A checkpoint of Google's."""
    write_fake(folder / "checkpoint", "google", config=tiny_config(num_hidden_layers=1))


def checkpoint_and_older(folder: Path) -> None:
    """A checkpoint of Google's, and another one where it is converted to."""
    checkpoint(folder)
    write_fake(folder / "out", "huggingface", head="BertModel")


def labeled(folder: Path) -> None:
    """A checkpoint, and examples of two classes."""
    labels = dict(enumerate("ny"))
    config = tiny_config(num_hidden_layers=1, num_labels=2, id2label=labels)
    write_fake(
        folder / "checkpoint",
        "keras",
        head="BertForSequenceClassification",
        config=config,
    )
    rows = (f"{word}\t{'yn'[i % 2]}" for i, word in enumerate(WORDS[:4]))
    (folder / "train.tsv").write_text("text\tlabel\n" + "\n".join(rows) + "\n")
