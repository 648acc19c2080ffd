"""Scores of files of predictions, without a model."""

import argparse
from collections.abc import Callable, Collection
from typing import NamedTuple

from keras_bert.cli.tables import check_outputs, reading_of
from keras_bert.errors import InputError, choose


def add_score_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of scoring predictions that are in a file."""
    add = parser.add_argument
    add(
        "--rules",
        metavar="NAME",
        help="how answers to questions are compared: squad-1.1, squad-2.0 (the default "
        "where questions have no answer), or cmrc2018, which counts Chinese characters",
    )
    add(
        "--null-odds",
        metavar="FILE",
        help="of each question the odds of no answer, which also tell the best "
        "threshold; with --model a file to write",
    )
    add("--nbest", metavar="FILE", help="write the best answers to each question")
    add(
        "--null-threshold",
        type=float,
        metavar="ODDS",
        help="no answer is predicted where the odds are above it (0 with --model, 1 "
        "without)",
    )
    add(
        "--strict",
        action="store_true",
        help="count only entities that are tagged as their scheme writes them",
    )


def score_predictions(args: argparse.Namespace) -> dict[str, float]:
    """Returns the scores of the file `--predictions` on the labeled `--data`."""
    check_outputs(args, args.data)
    scorer = SCORERS[choose("task with predictions to score", args.task, SCORERS)]
    refuse_unread(args, scorer.flags, f"to score predictions of {args.task}")
    return scorer.score(args)


def refuse_unread(
    args: argparse.Namespace, read: Collection[str], what: str, *also: str
) -> None:
    """Raises for flags of scoring that were given, and would have no effect.

    Args:
        args: of `keras-bert evaluate`.
        read: names of flags that are read.
        what: is done, for the message.
        *also: names of flags that are read besides.

    Raises:
        InputError: naming the flag.
    """
    for name in SCORING:
        if name not in (*read, *also) and vars(args)[name] not in (None, False):
            raise InputError(
                f"Expected no --{name.replace('_', '-')} {what}, which does not use "
                f"it. Received: {vars(args)[name]}."
            )


def _answers(args: argparse.Namespace) -> dict[str, float]:
    from keras_bert.tasks import squad_scores
    from keras_bert.tasks.question_files import read_questions

    threshold = args.null_threshold
    return squad_scores.score_answers(
        read_questions(args.data),
        squad_scores.read_predictions(args.predictions),
        rules=args.rules,
        null_odds=squad_scores.read_null_odds(args.null_odds)
        if args.null_odds
        else None,
        null_threshold=squad_scores.NULL_THRESHOLD if threshold is None else threshold,
    )


def _entities(args: argparse.Namespace) -> dict[str, float]:
    from keras_bert.tasks.conll_files import READING
    from keras_bert.tasks.entity_scores import score_files

    reading = reading_of(args)
    for name in reading:
        choose("option of data for ner", name, READING)
    options = {"strict": args.strict, **reading}
    return score_files(args.data, args.predictions, **options)


class Scorer(NamedTuple):
    """What scores a file of predictions, and the flags it reads."""

    score: Callable[[argparse.Namespace], dict[str, float]]
    flags: tuple[str, ...]


SCORING = ("rules", "null_odds", "nbest", "null_threshold", "strict", "metrics")
SCORERS = {
    "qa": Scorer(_answers, ("rules", "null_odds", "null_threshold")),
    "ner": Scorer(_entities, ("strict",)),
}
