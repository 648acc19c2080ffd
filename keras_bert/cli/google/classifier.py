"""`run_classifier.py`: a classifier of CoLA, MNLI, MRPC or XNLI."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert.cli.google import flags
from keras_bert.cli.google.models import (
    load_model,
    load_tokenizer,
    output_folder,
    read_config,
)
from keras_bert.cli.google.rows import encode_rows
from keras_bert.cli.google.training import train, write_results
from keras_bert.errors import ConfigError, choose
from keras_bert.tasks.examples import Example
from keras_bert.training.checks import check_vocabulary

KIND = "sequence_classification"
TASKS = ("cola", "mnli", "mrpc", "xnli")
FLAGS: flags.Flags = {
    "data_dir": (None, "directory of the task's .tsv files"),
    "task_name": (None, "cola, mnli, mrpc or xnli"),
    "output_dir": (None, "directory of checkpoints and results"),
    **flags.MODEL,
    **flags.CASE,
    "max_seq_length": (128, "tokens per row"),
    "do_train": (False, "train on the training file"),
    "do_eval": (False, "evaluate on the development file: eval_results.txt"),
    "do_predict": (False, "apply to the test file: test_results.tsv"),
    **flags.TRAINING,
    "eval_batch_size": (8, "rows per batch of the evaluation"),
    "predict_batch_size": (8, "rows per batch of the prediction"),
    **flags.FINE_TUNING,
    **flags.SEED,
    **flags.DEVICES,
}
REQUIRED = ("data_dir", "task_name", "vocab_file", "bert_config_file", "output_dir")


def run(args: argparse.Namespace) -> None:
    """Trains, evaluates, predicts, as the switches say."""
    from keras_bert.tasks.glue_files import GLUE

    flags.check_devices(args)
    flags.require_one(args, "do_train", "do_eval", "do_predict")
    args.task_name = choose("task", args.task_name.lower(), TASKS)
    tokenizer = load_tokenizer(args, read_config(args.bert_config_file))
    examples = {split: _examples(args, split) for split in _splits(args)}
    labels = GLUE[args.task_name].labels
    model, step = load_model(args, KIND, num_labels=len(labels))
    check_vocabulary(tokenizer, model)
    folder = output_folder(args)
    if args.do_train:
        step = _train(args, model, tokenizer, examples["train"], folder)
    if args.do_eval:
        results = _evaluate(args, model, tokenizer, examples["dev"])
        write_results(folder, results | {"global_step": step})
    if args.do_predict:
        _predict(args, model, tokenizer, examples["test"], folder)


def _splits(args: argparse.Namespace) -> list[str]:
    splits = {"train": args.do_train, "dev": args.do_eval, "test": args.do_predict}
    return [split for split, wanted in splits.items() if wanted]


def _examples(args: argparse.Namespace, split: str) -> list[Example]:
    from keras_bert.tasks.glue_files import read_glue

    return read_glue(args.data_dir, args.task_name, split)


def _encoded(
    args: argparse.Namespace, tokenizer: Any, examples: Sequence[Example]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Returns features, and labels; those that are not known are 0."""
    from keras_bert.tasks.glue_files import GLUE

    texts = [(example.text, example.text_pair) for example in examples]
    features = encode_rows(tokenizer, texts, args.max_seq_length)
    ids = {label: i for i, label in enumerate(GLUE[args.task_name].labels)}
    labels = [ids.get(example.label, 0) for example in examples]
    return features, np.array(labels, "int32")


def _train(
    args: argparse.Namespace,
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    folder: Path,
) -> int:
    from keras_bert.tasks.array_batches import ArrayBatches

    features, labels = _encoded(args, tokenizer, examples)
    steps, warmup = fine_tuning_steps(args, len(examples))
    size, seed = args.train_batch_size, args.random_seed
    batches = ArrayBatches(features, labels, size, seed=seed)
    train(model, batches, args, folder, steps=steps, warmup_steps=warmup)
    return steps


def fine_tuning_steps(args: argparse.Namespace, examples: int) -> tuple[int, int]:
    """Returns the steps of a run, and those that warm up, as Google counts them.

    Raises:
        ConfigError: there are none.
    """
    steps = int(examples / args.train_batch_size * args.num_train_epochs)
    if steps < 1 or not 0 <= args.warmup_proportion <= 1:
        raise ConfigError(
            "Expected at least one step, and warmup_proportion from 0 to 1. Received: "
            f"{examples} examples in batches of {args.train_batch_size}, "
            f"num_train_epochs={args.num_train_epochs}, which are {steps} steps; "
            f"warmup_proportion={args.warmup_proportion}."
        )
    return steps, int(steps * args.warmup_proportion)


# === Results ===


def _evaluate(
    args: argparse.Namespace, model: Any, tokenizer: Any, examples: Sequence[Example]
) -> dict[str, np.float32]:
    features, labels = _encoded(args, tokenizer, examples)
    size = args.eval_batch_size
    logits = model.predict(features, batch_size=size, verbose=0)
    losses = -_log_softmax(logits)[np.arange(len(labels)), labels]
    batches = [losses[i : i + size].mean() for i in range(0, len(losses), size)]
    results = {
        "eval_accuracy": np.mean(logits.argmax(-1) == labels),
        "eval_loss": losses.mean(),
        "loss": np.mean(batches),
    }
    return {name: np.float32(value) for name, value in results.items()}


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _predict(
    args: argparse.Namespace,
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    folder: Path,
) -> None:
    """Writes the probabilities of every example, in order."""
    from keras_bert.atomic_files import new_file

    features, _ = _encoded(args, tokenizer, examples)
    logits = model.predict(features, batch_size=args.predict_batch_size, verbose=0)
    rows = np.exp(_log_softmax(logits))
    with new_file(folder / "test_results.tsv", overwrite=True) as partial:
        lines = ("\t".join(map(str, row)) + "\n" for row in rows)
        partial.write_text("".join(lines), encoding="utf-8")
    print(f"Wrote {folder / 'test_results.tsv'}")
