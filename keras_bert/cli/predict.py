"""`keras-bert predict`: answers of a fine-tuned model, a line for each row."""

import argparse
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert.cli import glue, input_forms, tagging
from keras_bert.cli.answers import write_answers
from keras_bert.cli.beam_answers import add_beam_arguments
from keras_bert.cli.models import (
    add_answer_arguments,
    add_dtype_argument,
    add_model_arguments,
    answer_options,
    load_model,
    load_tokenizer,
)
from keras_bert.cli.tables import add_text_arguments
from keras_bert.errors import InputError
from keras_bert.tasks import Example, MaskedLanguageModel
from keras_bert.tasks.embedding_scores import SIMILARITIES as OF_PAIRS

EMBEDDINGS = "embeddings"  # the answer of a model of vectors


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_model_arguments(parser)
    add_dtype_argument(parser)
    add_answer_arguments(parser)
    add_text_arguments(parser, "one text per line")
    add = parser.add_argument
    add("--pair", nargs="+", metavar="TEXT", help="second texts, one for each text")
    add_beam_arguments(parser)
    group = parser.add_argument_group(
        "tasks of GLUE", "Writes what GLUE takes: index and prediction."
    )
    group.add_argument("--task", metavar="NAME", help=", ".join(glue.GLUE))
    group.add_argument("--data", metavar="DIR", help="the folder of its files")
    group.add_argument("--split", default="test", metavar="NAME", help="of the files")


def run(args: argparse.Namespace) -> None:
    """Answers every text or row, in order."""
    form = input_forms.form_of(args)
    if form == input_forms.WORDS:
        tagging.tag_file(args)
        return
    if form == input_forms.QUESTIONS and Path(args.output or "").suffix == ".json":
        tagging.answer_file(args)
        return
    named = glue.named_data(args, kinds=())
    if (named is None) == bool(args.data) or (named and (args.text or args.input)):
        raise InputError(
            "Expected texts, or --input FILE, or --task with the name of a task of "
            f"GLUE and its --data DIR. Received: --task {args.task}, --data "
            f"{args.data}, --input {args.input}, {len(args.text)} texts."
        )
    write_answers(
        args,
        iter(named.read(args.split)) if named else input_forms.examples_in(args, form),
        partial(_Answerer, args, named),
        change=named.submitted if named else None,
        places=named is None,
    )


class _Answerer:
    """The model of the arguments: served, or of masked tokens."""

    def __init__(self, args: argparse.Namespace, named: glue.NamedData | None = None):
        model = load_model(args, "encoder" if args.embeddings else None)
        tokenizer = load_tokenizer(args, model.config)
        self._paired = False  # whether vectors were compared
        if getattr(model, "kind", None) == MaskedLanguageModel.head:
            self._predict: Any = _MaskFiller(MaskedLanguageModel(model, tokenizer))
            return
        from keras_bert.serving.predictor import Predictor

        self._predict = Predictor(
            model,
            tokenizer,
            max_length=args.max_length,
            labels=named.labels(args, model.config) if named else args.labels,
            batch_size=args.batch_size,
            round_weights=True,
            **answer_options(args),
        )

    def names(self) -> list[str]:
        if self._paired:
            return ["similarity"]
        names = self._predict.output_names()
        return _with_several(names) if self._predict.answers_each else names

    def __call__(self, examples: list[Example]) -> Iterable[dict[str, Any]]:
        found = self._answers(examples)
        return map(self._several, found) if self._predict.answers_each else found

    def _several(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Names all labels that apply, the likeliest first, where one was named."""
        shares, labels = answer["probabilities"], self._predict.labels
        order = [i for i in np.argsort(-shares, kind="stable") if shares[i] > 0.5]
        found = {"labels": [labels[i] for i in order], "scores": shares[order]}
        return {name: {**answer, **found}[name] for name in _with_several(answer)}

    def _answers(self, examples: list[Example]) -> list[dict[str, Any]]:
        texts, pairs = [e.text for e in examples], [e.text_pair for e in examples]
        if None in pairs:
            return self._predict(texts)
        for example in examples:
            self._check_pair(example)
        if EMBEDDINGS in self._predict.output_names():
            return self._compared(texts, pairs)
        return self._predict(texts, pairs)

    def _compared(self, texts: list, pairs: list) -> list[dict[str, Any]]:
        """Returns the cosine of the vectors of each two texts."""
        self._paired = True
        one, other = (
            np.stack([answer[EMBEDDINGS] for answer in self._predict(each)])
            for each in (texts, pairs)
        )
        return [{"similarity": x} for x in OF_PAIRS["cosine"](one, other)]

    def _check_pair(self, example: Example) -> None:
        listed = not isinstance(example.text_pair, str)
        if example.row is not None and listed != self._predict.takes_lists:
            expected = "a list of strings" if self._predict.takes_lists else "a string"
            raise InputError(
                f"Expected {expected} as the second text of this model. Received: "
                f"{str(example.text_pair)[:40]!r} in row {example.row}."
            )


class _MaskFiller:
    """Fills the masks of texts, as a `Predictor` answers."""

    answers_each = takes_lists = False

    def __init__(self, task: MaskedLanguageModel):
        self._task = task

    def __call__(self, texts: list[str], pairs: Any = None) -> list[dict[str, Any]]:
        if pairs is not None:
            raise InputError(
                "Expected single texts for a masked language model. Received: pairs."
            )
        return self._task.predict(texts)

    def output_names(self) -> list[str]:
        return ["text", "masks"]


def _with_several(names: Iterable[str]) -> list[str]:
    return ["labels", "scores", *(name for name in names if name != "label")]
