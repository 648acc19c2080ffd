"""A short run of a small model, on arrays."""

import numpy as np
import tensorflow as tf

from keras_bert.models import BertForPreTraining
from keras_bert.training.loop import Plan, Run
from tests.cases import CONFIG

STEPS, ROWS, EXAMPLES = 12, 5, 37
TINY = CONFIG.replace(num_hidden_layers=1)


def arrays(rows=EXAMPLES):
    rng = np.random.default_rng(4)
    masked, width = (rows, 3), (rows, 11)
    features = {
        "input_ids": rng.integers(1, 99, width).astype("int32"),
        "attention_mask": (np.arange(11) < rng.integers(5, 12, (rows, 1))).astype(
            "int32"
        ),
        "token_type_ids": rng.integers(0, 2, width).astype("int32"),
        "masked_lm_positions": rng.integers(0, 5, masked).astype("int32"),
    }
    labels = {
        "prediction_logits": rng.integers(0, 99, masked).astype("int32"),
        "seq_relationship_logits": rng.integers(0, 2, rows).astype("int32"),
    }
    weights = {
        "prediction_logits": rng.uniform(0, 2, masked).astype("float32"),
        "seq_relationship_logits": rng.uniform(0, 2, rows).astype("float32"),
    }
    return features, labels, weights


def train_data():
    data = tf.data.Dataset.from_tensor_slices(arrays())
    data = data.shuffle(EXAMPLES, seed=3, reshuffle_each_iteration=True).repeat()
    return data.batch(ROWS, drop_remainder=True)


def plan_of(**changes):
    options = dict(steps=STEPS, learning_rate=1e-3, warmup_steps=3, log_every=2)
    return Plan(**options | dict(evaluate_every=4, checkpoint_every=5) | changes)


def run_of(folder, *, heldout=True, **options):
    model = BertForPreTraining(TINY, seed=1)
    batches = tf.data.Dataset.from_tensor_slices(arrays(13)).batch(ROWS)
    options = dict(plan=plan_of(), train=train_data()) | options
    return Run(
        model,
        directory=folder,
        heldout=batches if heldout else None,
        show_progress=False,
        **options,
    )
