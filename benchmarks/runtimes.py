"""Accuracy and speed of a fine-tuned classifier on every runtime and precision.

CPU time with one thread each, for unsorted texts in batches of 32, padded to their
longest row, and for single texts. The files are tables, as for `keras-bert finetune`,
with the columns text and label, labels numbered from 0.

    python benchmarks/runtimes.py --model runs/sst2/model --test sst2/test.tsv \\
        --calibrate sst2/train.tsv
"""

import os

os.environ |= {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from keras_bert import BertForSequenceClassification, BertTokenizer
from keras_bert.serving.runtimes import load
from keras_bert.serving.runtimes.benchmark import VARIANTS, Variant, Work
from keras_bert.serving.runtimes.measuring import fitted
from keras_bert.tasks import read_examples

CALIBRATION_ROWS, SINGLE_ROWS, ROUNDS = 256, 50, 3


def read(path: str) -> tuple[list[str], np.ndarray]:
    """Returns texts and labels."""
    rows = read_examples(path)
    return [row.text for row in rows], np.array([int(row.label) for row in rows])


def work_of(texts: list[str], tokenizer: BertTokenizer) -> Work:
    """Returns texts as batches of ids."""
    batch = tokenizer(texts, max_length=128, padding=True, truncation=True)
    pairs = zip(batch["input_ids"], batch["attention_mask"], strict=True)
    return Work.of_rows([ids[mask > 0] for ids, mask in pairs], 32)


def _quantized(mode: str) -> Callable:
    """Keras' own quantization, exported as a SavedModel."""

    def prepare(model: BertForSequenceClassification, path: Path, work: Work) -> Path:
        from keras_bert.serving.export import export

        again = type(model).from_config(model.get_config())
        again.set_weights(model.get_weights())
        again.quantize(mode)
        return export(again, path)

    return prepare


KERAS = tuple(
    Variant("SavedModel", f"Keras {mode}", _quantized(mode))
    for mode in ("int8", "int4")
)


def seconds(run: Callable, inputs: list) -> float:
    """Returns the CPU seconds of the median round."""
    taken = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for batch in inputs:
            run(batch)
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def measure(args: argparse.Namespace, folder: str) -> Iterator[dict]:
    """Yields the figures of each variant."""
    model = BertForSequenceClassification.from_pretrained(args.model)
    tokenizer = BertTokenizer.from_pretrained(args.model)
    texts, labels = read(args.test)
    work = work_of(texts, tokenizer)
    typical = work_of(read(args.calibrate)[0][:CALIBRATION_ROWS], tokenizer)
    typical = typical._replace(longest=work.longest)
    tokens = sum(int(batch["attention_mask"].sum()) for batch in work.batches)
    expected = None
    for variant in (*VARIANTS[1:], *KERAS):
        if variant.missing:
            continue
        place = Path(folder) / variant.name
        run = load(
            variant.prepare(model, place, typical),
            threads=1,
            precision=variant.computed,
        )
        parts = [part for batch in work.batches for part in fitted(batch, run.shape)]
        rows = [p for row in work.rows(SINGLE_ROWS) for p in fitted(row, run.shape)]
        logits = np.concatenate([run(part)["logits"] for part in parts])
        expected = logits if expected is None else expected
        files = [file for file in place.rglob("*") if file.is_file()]
        yield {
            "what": variant.name,
            "accuracy": round(float(np.mean(logits.argmax(-1) == labels)), 4),
            "tokens_per_cpu_s": round(tokens / seconds(run, parts)),
            "ms": round(seconds(run, rows) / len(rows) * 1e3, 2),
            "mb": round(sum(file.stat().st_size for file in files) / 1e6, 1),
            "difference": float(np.abs(logits - expected).max()),
        }


def main() -> None:
    """Prints one line of JSON for every variant."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, metavar="PATH")
    parser.add_argument("--test", required=True, metavar="FILE")
    parser.add_argument("--calibrate", required=True, metavar="FILE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for row in measure(args, folder):
            print(json.dumps(row), flush=True)
    print(json.dumps({"load": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
