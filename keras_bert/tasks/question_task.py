"""The task of answering questions from a text."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from keras_bert.analysis.report import Mistakes, Section
from keras_bert.errors import InputError, choose
from keras_bert.tasks import question_findings
from keras_bert.tasks.question_answering import Answers, find_answers
from keras_bert.tasks.question_files import read_questions
from keras_bert.tasks.question_windows import FRAME, Windows, encode_questions
from keras_bert.tasks.questions import Question
from keras_bert.tasks.squad_scores import score_answers
from keras_bert.tasks.task import MEMORY, Task

LENGTH, OVERLAP = 384, 128  # tokens of a row, and of two windows in common


class QuestionAnswering(Task):
    """Finds the part of a text that answers a question, or says that there is none.

    Data is a file of SQuAD, see `keras_bert.tasks.question_files.read_questions`, or a
    list of dicts with `question`, `context` and `answers`. Texts that are too long for
    a row are read by windows; answers are exactly the characters of their tokens.

    Its settings:
        doc_stride: tokens by which windows overlap; None is a quarter of a row, at most
            128.
        max_query_length: the most tokens of a question.
        max_answer_length: the most tokens of an answer.
        n_best: starts and ends of a window that are combined, and answers kept.
        may_be_impossible: whether a question may have no answer; None: if a question of
            the data that it is trained or scored on has none.
        null_threshold: no answer is predicted where its odds are above this.
        rules: a name of `keras_bert.tasks.squad_scores.RULES`.

    Example:
        >>> task = QuestionAnswering.from_pretrained("ckpt/")  # doctest: +SKIP
        >>> task.fit("train-v2.0.json", epochs=2)  # doctest: +SKIP
        >>> item = {"question": "Who?", "context": "Ada wrote."}
        >>> task.predict([item])[0]["answer"]  # doctest: +SKIP
        'Ada'
    """

    name = "qa"
    head = "question_answering"
    recipe: ClassVar[Mapping[str, Any]] = {"max_length": LENGTH, "learning_rate": 5e-5}
    settings: ClassVar[Mapping[str, Any]] = {
        "doc_stride": None,
        "max_query_length": 64,
        "max_answer_length": 30,
        "n_best": 20,
        "may_be_impossible": None,
        "null_threshold": 0.0,
        "rules": None,
    }
    files = ("predictions", "nbest", "null_odds")

    # === Data ===

    def rows(
        self, source: Any, labels: Any = None, *, labeled: bool = True, **reading: Any
    ) -> list[Question]:
        if labels is not None:
            raise InputError(
                "Expected answers within the data, as in SQuAD. Received: labels."
            )
        return read_questions(source, labeled=labeled)

    def stratum(self, item: Question) -> bool:
        return item.is_impossible

    def describe(self, items: list[Question]) -> list[str]:
        without = sum(question.is_impossible for question in items)
        return [f"{len(items):,} questions", f"{without:,} without an answer"]

    # === Windows ===

    @property
    def row_length(self) -> int:
        """The most tokens of a row: `max_length`, or 384, or what the model takes."""
        return self.max_length or min(LENGTH, super().row_length)

    @property
    def overlap(self) -> int:
        """The tokens that a window shares with the next."""
        given = self.options["doc_stride"]
        return min(OVERLAP, self.row_length // 4) if given is None else given

    def windows(self, items: Sequence[Question], *, labeled: bool = False) -> Windows:
        """Returns the rows of questions; see `encode_questions`.

        Args:
            items: the questions.
            labeled: whether they are to learn from.
        """
        # As exported models divide a row; see `AnswerSettings.max_question_length`.
        half = (self.row_length - FRAME - self.overlap) // 2
        return encode_questions(
            items,
            self.tokenizer,
            max_length=self.row_length,
            overlap=self.overlap,
            max_question_length=max(1, min(half, self.options["max_query_length"])),
            labeled=labeled,
            characters=True,
        )

    def encode(
        self, items: list[Question], *, labeled: bool = True, name: str = MEMORY
    ) -> tuple[dict[str, np.ndarray], Any]:
        windows = self.windows(items, labeled=labeled)
        return windows.features, windows.labels

    def run_on(
        self, items: list, dev: list | None, recipe: Any, directory: Any, **options: Any
    ) -> Any:
        self.max_length = self.length_in(recipe)
        self.options["doc_stride"] = self.overlap  # is kept with the model
        if self.options["may_be_impossible"] is None:
            known = any(item.is_impossible for item in items)
            self.options["may_be_impossible"] = known or None
        return super().run_on(items, dev, recipe, directory, **options)

    # === Answers ===

    def outputs(self, items: list[Question], *, batch_size: int = 32) -> Answers:
        windows = self.windows(items)
        logits = self.model.predict(windows.features, batch_size=batch_size, verbose=0)
        impossible = self.options["may_be_impossible"]
        if impossible is None:
            impossible = any(question.is_impossible for question in items)
        names = ("n_best", "max_answer_length", "null_threshold")
        return find_answers(
            windows,
            logits["start_logits"],
            logits["end_logits"],
            self.tokenizer,
            may_be_impossible=impossible,
            **{name: self.options[name] for name in names},
        )

    def score(
        self,
        items: list[Question],
        outputs: Answers,
        metrics: Sequence[str] | None = None,
    ) -> dict[str, float]:
        found = score_answers(
            items,
            outputs.predictions,
            rules=self.options["rules"],
            null_odds=outputs.null_odds,
            null_threshold=math.inf,  # the predictions have their own
        )
        return {choose("metric", name, found): found[name] for name in metrics or found}

    def mistakes(self, items: list[Question], outputs: Answers) -> Mistakes:
        rules = self.options["rules"]
        return question_findings.mistakes(items, outputs.predictions, rules)

    def sections(self, items: list[Question], outputs: Answers) -> list[Section]:
        rules = self.options["rules"]
        return question_findings.sections(items, outputs.predictions, rules)

    def write_predictions(
        self,
        path: str | Path | None,
        rows: list[Question],
        outputs: Answers,
        *,
        nbest: str | Path | None = None,
        null_odds: str | Path | None = None,
        overwrite: bool = False,
    ) -> None:
        """Writes answers in the form of SQuAD, and the other files of Google's script.

        Args:
            path: for the answers by the ids of questions.
            rows: the questions.
            outputs: what `outputs` returned.
            nbest: for the best answers to each question.
            null_odds: for the odds of no answer.
            overwrite: replace existing files.
        """
        paths = {"predictions": path, "nbest": nbest, "null_odds": null_odds}
        outputs.write({k: v for k, v in paths.items() if v}, overwrite=overwrite)

    def predict(
        self, texts: Any, text_pairs: Sequence[str] | None = None, **options: Any
    ) -> list[dict[str, Any]]:
        """Answers questions as the exported model does.

        Args:
            texts: dicts with `question` and `context`, a file of them, or questions.
            text_pairs: the text of each question, if they are not in the dicts.
            **options: see `Task.predict`.

        Returns:
            For each question `answer`, from `start` to `end` in its text, with its
            probability `score`, and `no_answer_score`, that there is none.
        """
        if text_pairs is None:
            items = read_questions(texts, labeled=False)
            texts = [question.text for question in items]
            text_pairs = [question.passage.text for question in items]
        return super().predict(list(texts), text_pairs, **self._served() | options)

    def export(self, path: str | Path, **options: Any) -> Path:
        return super().export(path, **self._served() | options)

    def _served(self) -> dict[str, Any]:
        longest = self.options["max_answer_length"]
        return {
            "max_length": self.row_length,
            "doc_stride": self.overlap,
            "max_answer_length": longest,
        }
