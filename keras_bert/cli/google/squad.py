"""`run_squad.py`: answers to questions, trained and scored on SQuAD."""

import argparse
from pathlib import Path
from typing import Any

from keras_bert.cli.google import flags
from keras_bert.cli.google.classifier import fine_tuning_steps
from keras_bert.cli.google.models import (
    load_model,
    load_tokenizer,
    output_folder,
    read_config,
)
from keras_bert.cli.google.training import train
from keras_bert.training.checks import check_vocabulary

KIND = "question_answering"
FLAGS: flags.Flags = {
    "output_dir": (None, "directory of checkpoints and predictions"),
    **flags.MODEL,
    "train_file": (None, "SQuAD's JSON to train on"),
    "predict_file": (None, "SQuAD's JSON to answer"),
    **flags.CASE,
    "max_seq_length": (384, "tokens per row, question and window of the passage"),
    "doc_stride": (128, "tokens between the beginnings of windows"),
    "max_query_length": (64, "most tokens of a question"),
    "do_train": (False, "train on train_file"),
    "do_predict": (False, "answer predict_file: predictions.json and others"),
    **flags.TRAINING,
    "predict_batch_size": (8, "rows per batch of the prediction"),
    **flags.FINE_TUNING,
    "n_best_size": (20, "answers per question in nbest_predictions.json"),
    "max_answer_length": (30, "most tokens of an answer"),
    "version_2_with_negative": (False, "some questions have no answer"),
    "null_score_diff_threshold": (0.0, "no answer above these odds in null_odds.json"),
    "verbose_logging": (False, "without effect"),
    **flags.SEED,
    **flags.DEVICES,
}
REQUIRED = ("vocab_file", "bert_config_file", "output_dir")


def run(args: argparse.Namespace) -> None:
    """Trains and answers, as the switches say."""
    flags.check_devices(args)
    flags.require_one(args, "do_train", "do_predict")
    for switch, file in (("do_train", "train_file"), ("do_predict", "predict_file")):
        if getattr(args, switch):
            flags.require_file(args, switch, file)
    tokenizer = load_tokenizer(args, read_config(args.bert_config_file))
    training = _windows(args, args.train_file, tokenizer) if args.do_train else None
    asked = (
        _windows(args, args.predict_file, tokenizer, labeled=False)
        if args.do_predict
        else None
    )
    model, _ = load_model(args, KIND)
    check_vocabulary(tokenizer, model)
    folder = output_folder(args)
    if training is not None:
        _train(args, model, training, folder)
    if asked is not None:
        _predict(args, model, tokenizer, asked, folder)


def _windows(
    args: argparse.Namespace, file: str, tokenizer: Any, *, labeled: bool = True
) -> Any:
    from keras_bert.tasks.question_windows import encode_questions
    from keras_bert.tasks.questions import read_squad

    impossible = args.version_2_with_negative
    questions = read_squad(file, labeled=labeled, with_impossible=impossible)
    return encode_questions(
        questions,
        tokenizer,
        max_length=args.max_seq_length,
        doc_stride=args.doc_stride,
        max_question_length=args.max_query_length,
        labeled=labeled,
    )


def _train(args: argparse.Namespace, model: Any, windows: Any, folder: Path) -> None:
    from keras_bert.tasks.array_batches import ArrayBatches

    steps, warmup = fine_tuning_steps(args, len(windows.questions))
    size, seed = args.train_batch_size, args.random_seed
    batches = ArrayBatches(windows.features, windows.labels, size, seed=seed)
    train(model, batches, args, folder, steps=steps, warmup_steps=warmup)


def _predict(
    args: argparse.Namespace, model: Any, tokenizer: Any, windows: Any, folder: Path
) -> None:
    from keras_bert.tasks.question_answering import find_answers

    logits = model.predict(
        windows.features, batch_size=args.predict_batch_size, verbose=0
    )
    answers = find_answers(
        windows,
        logits["start_logits"],
        logits["end_logits"],
        tokenizer,
        n_best=args.n_best_size,
        max_answer_length=args.max_answer_length,
        may_be_impossible=args.version_2_with_negative,
        null_threshold=args.null_score_diff_threshold,
    )
    for path in answers.save(folder, overwrite=True):
        print(f"Wrote {path}")
