"""`keras-bert finetune`: a classifier or scorer of texts, from a labeled file."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_bert.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "--model", required=True, metavar="PATH", help="a checkpoint of any format"
    )
    parser.add_argument(
        "--vocab", metavar="PATH", help="vocab.txt or tokenizer, if not with the model"
    )
    parser.add_argument(
        "--train", required=True, metavar="FILE", help="a .tsv, .csv or .jsonl file"
    )
    parser.add_argument("--dev", metavar="FILE", help="a labeled file to evaluate on")
    for name, default in (("text", "text"), ("text-pair", None), ("label", "label")):
        parser.add_argument(
            f"--{name}", default=default, metavar="COLUMN", help=f"column of the {name}"
        )
    parser.add_argument(
        "--regression", action="store_true", help="the labels are numbers"
    )
    parser.add_argument(
        "--ignore-mismatched-sizes",
        action="store_true",
        help="start a new head where the checkpoint's has other labels",
    )
    parser.add_argument("--epochs", type=float, default=3, help="passes over the data")
    parser.add_argument(
        "--warmup", type=float, default=0.1, help="share of the steps that warm up"
    )
    parser.add_argument(
        "--max-length", type=int, default=128, help="longest row, in tokens"
    )
    add_run_arguments(parser, batch_size=32, learning_rate=5e-5)


def run(args: argparse.Namespace) -> None:
    """Trains, and writes the model beside the run's log and checkpoints."""
    from keras_bert import tasks
    from keras_bert.tokenization import BertTokenizer
    from keras_bert.training.loop import Run

    tokenizer = BertTokenizer.from_pretrained(args.vocab or args.model)
    columns = dict(text=args.text, text_pair=args.text_pair, label=args.label)
    examples = tasks.read_examples(args.train, **columns)
    labels = None if args.regression else tasks.label_names(examples)

    model = _model(args, labels)
    check_vocabulary(tokenizer, model)

    def batches(examples: Sequence[tasks.Example], **options: Any) -> Any:
        features, answers = tasks.encode(examples, tokenizer, args.max_length, labels)
        model.check(features)
        return tasks.dataset(features, answers, args.batch_size, **options)

    train = batches(examples, shuffle_seed=args.seed, repeat=True)
    dev = args.dev and batches(tasks.read_examples(args.dev, **columns))
    steps = math.ceil(len(examples) * args.epochs / args.batch_size)
    plan = plan_of(args, steps, round(steps * args.warmup))
    print(
        f"{model.count_params():,} parameters, {len(examples):,} examples, "
        f"{len(labels) if labels else 'no'} classes, {steps:,} steps; {args.output}"
    )
    history = Run(model, plan, Path(args.output), train, dev or None)()
    finish(model, tokenizer, args.output, history)


def _model(args: argparse.Namespace, labels: Sequence[str] | None) -> Any:
    import keras_bert

    head = (
        {"num_labels": 1, "problem_type": "regression"}
        if labels is None
        else {"id2label": dict(enumerate(labels))}
    )
    return keras_bert.BertForSequenceClassification.from_pretrained(
        args.model,
        dtype=args.dtype,
        seed=args.seed,
        ignore_mismatched_sizes=args.ignore_mismatched_sizes,
        **head,
    )


# === Shared with `keras-bert pretrain` ===


def add_run_arguments(
    parser: argparse.ArgumentParser, *, batch_size: int, learning_rate: float
) -> None:
    """Adds the arguments of every training run."""
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="directory of the run; the same command goes on where it stopped",
    )
    parser.add_argument(
        "--batch-size", type=_size, default=batch_size, help="rows per step"
    )
    parser.add_argument(
        "--learning-rate", type=float, default=learning_rate, help="the highest rate"
    )
    parser.add_argument(
        "--weight-decay", type=float, default=0.01, help="share taken off per step"
    )
    parser.add_argument(
        "--bias-correction",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="of Adam; Google's optimizer has none",
    )
    parser.add_argument("--dtype", help="dtype policy, such as mixed_bfloat16")
    parser.add_argument(
        "--seed", type=int, default=12345, help="of weights, order and dropout"
    )
    for name, default in (("log", 10), ("evaluate", 0), ("checkpoint", 1000)):
        parser.add_argument(
            f"--{name}-every", type=int, default=default, help="steps; 0: at the end"
        )


def _size(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, received {text!r}")
    return int(text)


def plan_of(args: argparse.Namespace, steps: int, warmup_steps: int) -> Any:
    """Returns the plan that the arguments describe."""
    from keras_bert.training.loop import Plan

    return Plan(
        steps=steps,
        learning_rate=args.learning_rate,
        warmup_steps=warmup_steps,
        weight_decay=args.weight_decay,
        bias_correction=args.bias_correction,
        log_every=args.log_every or steps,
        evaluate_every=args.evaluate_every,
        checkpoint_every=args.checkpoint_every,
    )


def check_vocabulary(tokenizer: Any, model: Any) -> None:
    """Refuses a tokenizer whose ids the model has no rows for.

    Raises:
        InputError: naming both sizes.
    """
    rows = model.config.vocab_size
    if tokenizer.vocab_size > rows:
        raise InputError(
            f"Expected a vocabulary of at most {rows:,} tokens, the model's "
            f"vocab_size. Received: {tokenizer.vocab_size:,} tokens. Give the "
            "vocabulary that belongs to the model."
        )


def finish(model: Any, tokenizer: Any, output: str, history: list[dict]) -> None:
    """Writes the trained model into the run's directory and prints the last line."""
    path = model.save_pretrained(
        Path(output) / "model", tokenizer=tokenizer, overwrite=True
    )
    last = {k: v for k, v in history[-1].items() if k != "time"}
    numbers = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in last.items()
    )
    print(f"{numbers}\nWrote {path}")
