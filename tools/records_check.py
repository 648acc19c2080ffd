"""Reads our records with the input function of Google's run_pretraining.py.

    python tools/records_check.py ~/src/bert

Creates records of a small text in two files, and compares every batch of Google's
`input_fn_builder` with that of this package's reader.
"""

import sys
import tempfile
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf

from keras_bert import BertTokenizer
from keras_bert.pretraining import DataSettings, create_pretraining_data, dataset

BATCH = 7
SETTINGS = DataSettings(max_seq_length=37, max_predictions_per_seq=7, dupe_factor=3)
NAMES = {
    "input_ids": lambda f, lab, w: f["input_ids"],
    "input_mask": lambda f, lab, w: f["attention_mask"],
    "segment_ids": lambda f, lab, w: f["token_type_ids"],
    "masked_lm_positions": lambda f, lab, w: f["masked_lm_positions"],
    "masked_lm_ids": lambda f, lab, w: lab["prediction_logits"],
    "masked_lm_weights": lambda f, lab, w: w["prediction_logits"],
    "next_sentence_labels": lambda f, lab, w: lab["seq_relationship_logits"][:, None],
}


def googles_module(code: str) -> types.ModuleType:
    """Imports run_pretraining.py on TensorFlow 2, without `tf.contrib`."""
    old = tf.compat.v1
    old.contrib = types.SimpleNamespace(
        data=types.SimpleNamespace(
            parallel_interleave=tf.data.experimental.parallel_interleave,
            map_and_batch=tf.data.experimental.map_and_batch,
        )
    )
    sys.modules["tensorflow"] = old
    sys.path.insert(0, code)
    try:
        import run_pretraining
    finally:
        sys.modules["tensorflow"] = tf
    return run_pretraining


def main(code: str) -> None:
    """Compares all batches."""
    words = [f"{a}{b}" for a in "bcdfghjklm" for b in "aeiou"]
    tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(words, rng.integers(3, 15))) for _ in range(400)]
    with tempfile.TemporaryDirectory() as name:
        text, records = Path(name, "text.txt"), Path(name, "records@2")
        text.write_text("\n".join(x + "\n" * (i % 9 == 8) for i, x in enumerate(lines)))
        create_pretraining_data(text, records, tokenizer, SETTINGS, progress=False)
        files = sorted(map(str, Path(name).glob("records-*")))
        run_pretraining = googles_module(code)
        total = 0
        for file in files:
            builder = run_pretraining.input_fn_builder(
                [file], SETTINGS.max_seq_length, SETTINGS.max_predictions_per_seq, False
            )
            theirs = builder({"batch_size": BATCH})
            ours = dataset(file, BATCH, shuffle=False)
            # Theirs repeats forever.
            for their, our in zip(theirs, ours, strict=False):
                for key, pick in NAMES.items():
                    np.testing.assert_array_equal(their[key], pick(*our))
                total += BATCH
    print(f"Google's input function and ours read the same {total} records.")


if __name__ == "__main__":
    main(sys.argv[1])
