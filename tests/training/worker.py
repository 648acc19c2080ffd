"""One worker process of a run over several, for tests.

Its place among the workers is in the environment, as for a real one.
"""

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

STEPS, ROWS = 20, 8


class Rows:
    """Batches by number; a file tells which one was read last."""

    batch_size = ROWS

    def __init__(self, progress: Path | None = None):
        self.progress = progress

    def __call__(self, step: int, rows: slice = slice(None)) -> tuple:
        rng = np.random.default_rng(step)
        features = {
            "input_ids": rng.integers(1, 9, (ROWS, 13)),
            "masked_lm_positions": rng.integers(0, 13, (ROWS, 4)),
        }
        labels = {
            "prediction_logits": rng.integers(0, 99, (ROWS, 4)),
            "seq_relationship_logits": rng.integers(0, 2, ROWS),
        }
        # Far fewer masked tokens in the later rows, which are the other worker's.
        weights = {
            "prediction_logits": np.arange(4) < rng.integers(0, 5, (ROWS, 1)),
            "seq_relationship_logits": rng.uniform(0, 2, ROWS),
        }
        weights["prediction_logits"][ROWS // 2 :, 1:] = 0
        if self.progress is not None:  # a worker that something happens to
            self.progress.write_text(str(step))
            time.sleep(0.15)
        return tuple(
            {k: v[rows].astype(dtype) for k, v in part.items()}
            for part, dtype in ((features, "i4"), (labels, "i4"), (weights, "f4"))
        )


def run(folder: Path, distribution: str, progress: Path | None = None):
    """Trains a small model without dropout, and returns the run."""
    from keras_bert.models import BertForPreTraining
    from keras_bert.training import distribution as devices
    from keras_bert.training.loop import Plan, Run
    from tests.cases import CONFIG

    config = CONFIG.replace(
        num_hidden_layers=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    plan = Plan(
        steps=STEPS,
        learning_rate=1e-3,
        clip_norm=0.5,
        log_every=1,
        checkpoint_every=2,
        distribution=distribution,
    )
    with devices.distribution(distribution).scope():
        model = BertForPreTraining(config, seed=1)
    rows = Rows(progress)
    found = Run(model, plan, folder, rows, show_progress=False)
    found()
    return found


if __name__ == "__main__":
    place, distribution = Path(sys.argv[1]), sys.argv[2]
    name = sys.argv[3]
    try:
        done = run(place / "run", distribution, place / f"progress-{name}")
    except KeyboardInterrupt as stopped:
        sys.exit(stopped.exit_status)
    weights = {v.path: np.asarray(v) for v in done.model.trainable_variables}
    np.savez(place / f"weights-{name}.npz", **weights)
