"""`keras-bert pretrain`: masked LM and next sentence, from records."""

import argparse
from pathlib import Path
from typing import Any

from keras_bert.cli.finetune import (
    add_run_arguments,
    check_vocabulary,
    finish,
    plan_of,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "--data", required=True, metavar="PATTERN", help="records, a name or a glob"
    )
    parser.add_argument(
        "--heldout", metavar="PATTERN", help="records to evaluate on, not trained on"
    )
    parser.add_argument(
        "--heldout-batches", type=int, default=50, help="batches of an evaluation"
    )
    parser.add_argument(
        "--vocab",
        required=True,
        metavar="PATH",
        help="vocab.txt or tokenizer directory",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--model", default="base", help="size by name, or a config file, to begin anew"
    )
    start.add_argument(
        "--init", metavar="PATH", help="a checkpoint of any format to go on from"
    )
    parser.add_argument("--steps", type=int, required=True, help="optimizer steps")
    parser.add_argument(
        "--warmup-steps", type=int, default=0, help="steps of the warm-up"
    )
    add_run_arguments(parser, batch_size=256, learning_rate=1e-4)


def run(args: argparse.Namespace) -> None:
    """Trains, and writes the model beside the run's log and checkpoints."""
    from keras_bert.pretraining.reading import dataset
    from keras_bert.tokenization import BertTokenizer
    from keras_bert.training.loop import Run

    tokenizer = BertTokenizer.from_pretrained(args.vocab)
    plan = plan_of(args, args.steps, args.warmup_steps)
    model = _model(args, tokenizer)
    check_vocabulary(tokenizer, model)
    train = dataset(args.data, args.batch_size, seed=args.seed, repeat=True)
    model.check(train.element_spec[0])  # rows may be longer than it takes
    heldout = args.heldout and dataset(
        args.heldout, args.batch_size, shuffle=False, drop_remainder=False
    ).take(args.heldout_batches)
    tokens = args.batch_size * train.element_spec[0]["input_ids"].shape[1]
    print(
        f"{model.count_params():,} parameters, {plan.steps:,} steps of "
        f"{args.batch_size} rows, {plan.steps * tokens:,} tokens with padding; "
        f"{args.output}"
    )
    history = Run(model, plan, Path(args.output), train, heldout)()
    finish(model, tokenizer, args.output, history)


def _model(args: argparse.Namespace, tokenizer: Any) -> Any:
    import keras_bert

    options = dict(dtype=args.dtype, seed=args.seed)
    if args.init:
        return keras_bert.BertForPreTraining.from_pretrained(args.init, **options)
    if Path(args.model).suffix == ".json":
        config = keras_bert.BertConfig.from_json_file(args.model)
    else:
        size = tokenizer.vocab_size
        config = keras_bert.BertConfig.preset(args.model, vocab_size=size)
    return keras_bert.BertForPreTraining(config, **options)
