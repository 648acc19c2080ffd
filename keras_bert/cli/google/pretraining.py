"""`run_pretraining.py`: masked LM and next sentence, from records."""

import argparse
import math
from typing import Any

import numpy as np

from keras_bert.cli.google import flags
from keras_bert.cli.google.models import load_model, output_folder, read_config
from keras_bert.cli.google.training import train, write_results
from keras_bert.errors import ConfigError, InputError

KIND = "pretraining"
FLAGS: flags.Flags = {
    "bert_config_file": flags.MODEL["bert_config_file"],
    "input_file": (None, "records: names or globs, separated by commas"),
    "output_dir": (None, "directory of checkpoints and results"),
    "init_checkpoint": flags.MODEL["init_checkpoint"],
    "max_seq_length": (128, "tokens per row of the records"),
    "max_predictions_per_seq": (20, "masked tokens per row of the records"),
    "do_train": (False, "train"),
    "do_eval": (False, "evaluate on the same records: eval_results.txt"),
    **flags.TRAINING,
    "eval_batch_size": (8, "rows per batch of the evaluation"),
    "num_train_steps": (100000, "optimizer steps"),
    "num_warmup_steps": (10000, "steps that warm up"),
    "max_eval_steps": (100, "batches of the evaluation"),
    **flags.SEED,
    **flags.DEVICES,
}
REQUIRED = ("input_file", "bert_config_file", "output_dir")
# Google's names of the results, and those of the training loop.
_RESULTS = {
    "masked_lm_accuracy": "mlm_accuracy",
    "masked_lm_loss": "mlm_loss",
    "next_sentence_accuracy": "nsp_accuracy",
    "next_sentence_loss": "nsp_loss",
}


def run(args: argparse.Namespace) -> None:
    """Trains and evaluates, as the switches say."""
    flags.check_devices(args)
    flags.require_one(args, "do_train", "do_eval")
    config = read_config(args.bert_config_file)
    if args.max_seq_length > config.max_length:
        raise ConfigError(
            f"Expected max_seq_length of at most {config.max_length}, the positions of "
            f"the model. Received: {args.max_seq_length}."
        )
    size = args.train_batch_size if args.do_train else args.eval_batch_size
    batches = _records(args, size, shuffle=True)
    model, step = load_model(args, KIND)
    folder = output_folder(args)
    if args.do_train:
        step = args.num_train_steps
        warmup = args.num_warmup_steps
        train(model, batches, args, folder, steps=step, warmup_steps=warmup)
    if args.do_eval:
        write_results(folder, _evaluate(args, model) | {"global_step": step})


def _records(args: argparse.Namespace, batch_size: int, *, shuffle: bool) -> Any:
    """Returns the batches of the records, without end.

    Raises:
        InputError: the records do not have the form that the flags say.
    """
    from keras_bert.pretraining.numpy_reading import RecordBatches

    options = {"seed": args.random_seed, "shuffle": shuffle}
    batches = RecordBatches(args.input_file, batch_size, **options)
    form = batches.form
    if form.compact or form.packed or not form.labeled:
        raise InputError(
            f"Expected records of Google's create_pretraining_data.py in "
            f"{args.input_file}. Received: compact records, or some without "
            "next_sentence_labels. Train on these with `keras-bert pretrain`."
        )
    lengths = {"max_seq_length": "seq", "max_predictions_per_seq": "predictions"}
    for flag, axis in lengths.items():
        if getattr(args, flag) != form.sizes[axis]:
            raise InputError(
                f"Expected records with {flag}={getattr(args, flag)}. Received: "
                f"{form.sizes[axis]} in {args.input_file}. Pass "
                f"--{flag}={form.sizes[axis]}."
            )
    return batches


def _evaluate(args: argparse.Namespace, model: Any) -> dict[str, np.float32]:
    """Returns the mean of every result over the batches, starting over at the end."""
    from keras import ops

    from keras_bert.training.step import BatchLoss

    batch_loss = BatchLoss(model)
    batches = _records(args, args.eval_batch_size, shuffle=False)
    totals = {name: np.zeros(2) for name in _RESULTS.values()}
    losses = []
    for step in range(1, args.max_eval_steps + 1):
        batch = batches(step)
        model.checked_batch(*batch[:2])
        loss, sums = batch_loss(batch, training=False)
        losses.append(float(ops.convert_to_numpy(loss)))
        for name, total in totals.items():
            total += [float(ops.convert_to_numpy(x)) for x in sums[name]]
    results = {name: _ratio(*totals[short]) for name, short in _RESULTS.items()}
    return {name: np.float32(x) for name, x in results.items()} | {
        "loss": np.float32(np.mean(losses))
    }


def _ratio(total: float, weights: float) -> float:
    return total / weights if weights else math.nan
