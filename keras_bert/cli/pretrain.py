"""`keras-bert pretrain`: masked LM and next sentence, from records."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_bert.cli.finetune import (
    add_run_arguments,
    check_vocabulary,
    finish,
    plan_of,
)
from keras_bert.errors import ConfigError
from keras_bert.pretraining.masking import UNITS, MaskingSettings


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
    parser.add_argument(
        "--init-optimizer",
        action="store_true",
        help="go on with the optimizer's state and step that lie beside --init, as "
        "`keras-bert convert` writes them",
    )
    parser.add_argument("--steps", type=int, required=True, help="optimizer steps")
    parser.add_argument(
        "--warmup-steps", type=int, default=0, help="steps of the warm-up"
    )
    add_run_arguments(parser, batch_size=256, learning_rate=1e-4)
    _add_plan_arguments(parser)
    masking = parser.add_argument_group("masking of compact records")
    masking.add_argument("--masking", choices=UNITS, default="token", help="unit")
    masking.add_argument(
        "--masked-lm-prob", type=float, default=0.15, help="share of a row's tokens"
    )
    masking.add_argument(
        "--max-predictions-per-seq", type=int, default=20, help="positions at most"
    )


def _add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--distribution",
        default="one",
        metavar="NAME",
        help="devices: one; on TensorFlow mirrored, multi_worker (TF_CONFIG) or tpu; "
        "on JAX data_parallel or model_parallel",
    )
    add("--model-shards", type=int, default=1, help="devices that share a model's copy")
    add("--optimizer", default="adamw", metavar="NAME", help="adamw, adam or lamb")
    add(
        "--schedule",
        default="linear",
        metavar="NAME",
        help="of the rate: linear, polynomial, cosine or constant",
    )
    add("--ema-momentum", type=float, help="keep an average of the weights")
    add(
        "--gradient-accumulation-steps",
        type=int,
        default=1,
        help="parts a batch is computed in, to save memory",
    )
    add("--keep", type=int, default=2, help="newest checkpoints kept, beside the best")


def run(args: argparse.Namespace) -> None:
    """Trains, and writes model and curves beside the run's log and checkpoints."""
    from keras_bert.tokenization import BertTokenizer
    from keras_bert.training.distribution import distribution
    from keras_bert.training.loop import Run

    plan = _plan(args)
    tokenizer = BertTokenizer.from_pretrained(args.vocab)
    with distribution(plan.distribution, plan.model_shards).scope():
        model = _model(args, tokenizer)
    check_vocabulary(tokenizer, model)
    train, heldout = _batches(args, tokenizer)
    first, *_ = train(1)
    model.check(first)  # rows may be longer than it takes
    tokens = args.batch_size * first["input_ids"].shape[1]
    print(
        f"{model.count_params():,} parameters, {plan.steps:,} steps of "
        f"{args.batch_size} rows, {plan.steps * tokens:,} tokens with padding; "
        f"{args.output}"
    )
    state = args.init if args.init_optimizer else None
    training = Run(
        model, plan, Path(args.output), train, heldout, optimizer_state=state
    )
    history = training()
    if training.writes:
        with training.weights_to_keep():
            finish(model, tokenizer, args.output, history)
        _draw(history, Path(args.output) / "curves.png")


def _plan(args: argparse.Namespace) -> Any:
    if args.init_optimizer and not args.init:
        raise ConfigError(
            "Expected --init with --init-optimizer: the state lies beside a "
            "checkpoint. Received: none."
        )
    return replace(
        plan_of(args, args.steps, args.warmup_steps),
        distribution=args.distribution,
        model_shards=args.model_shards,
        optimizer=args.optimizer,
        schedule=args.schedule,
        ema_momentum=args.ema_momentum,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        keep=args.keep,
    )


def _batches(args: argparse.Namespace, tokenizer: Any) -> tuple[Any, Any]:
    """Returns the batches to train on, and those to evaluate on or None."""
    from keras_bert.pretraining.numpy_reading import RecordBatches

    masking = MaskingSettings(
        args.max_predictions_per_seq, args.masked_lm_prob, args.masking
    )
    options = dict(seed=args.seed, tokenizer=tokenizer, masking=masking)
    train = RecordBatches(args.data, args.batch_size, **options)
    if not args.heldout:
        return train, None
    options |= dict(shuffle=False, repeat=False, limit=args.heldout_batches)
    return train, RecordBatches(args.heldout, args.batch_size, **options)


def _draw(history: list[dict], path: Path) -> None:
    from keras_bert.analysis.curves import plot_curves

    print(f"Drew {plot_curves(history, path, overwrite=True)}")


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
