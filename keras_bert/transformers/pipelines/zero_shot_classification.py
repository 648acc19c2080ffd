"""Labels that no model was trained for: `pipeline("zero-shot-classification")`."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_bert.errors import InputError
from keras_bert.transformers.pipelines import base
from keras_bert.transformers.pipelines.computation import softmax

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options(base.Options):
    """The options of `ZeroShotClassificationPipeline`."""

    candidate_labels: str | Sequence[str] | None = None
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False
    multi_class: bool | None = None

    def __post_init__(self) -> None:
        if self.multi_class is not None:
            message = "multi_class is an old spelling; write multi_label."
            warnings.warn(message, FutureWarning, stacklevel=5)
        self.hypothesis("a")

    @property
    def labels(self) -> list[str]:
        """The labels, of one string those between its commas."""
        labels = () if self.candidate_labels is None else self.candidate_labels
        if isinstance(labels, str):
            labels = [label.strip() for label in labels.split(",") if label.strip()]
        return list(labels)

    def hypothesis(self, label: str) -> str:
        """Returns the sentence about a label."""
        template = self.hypothesis_template
        try:
            sentence = template.format(label)
        except (AttributeError, IndexError, KeyError, ValueError):
            sentence = template
        if sentence == template:
            raise InputError(
                "Expected a hypothesis_template with {} where the label goes. "
                f"Received: {template!r}."
            )
        return sentence

    @property
    def independent(self) -> bool:
        """Whether several labels may be right."""
        return bool(self.multi_class or self.multi_label) or len(self.labels) == 1


class ZeroShotClassificationPipeline(base.Pipeline):
    """Labels of texts, by what a model of entailment says of a sentence about each.

    Call arguments:
        inputs: texts.
        candidate_labels: the labels, in a list or between commas.
        hypothesis_template: the sentence, with `{}` where the label goes.
        multi_label: several labels may be right: a score compares entailment and
            contradiction, not the labels.

    Returns:
        `{"sequence", "labels", "scores"}` of each text, best label first.
    """

    name = "zero-shot-classification"
    kinds = ("sequence_classification",)
    options_type = Options
    advice = "Shorten the label, or the template."

    def __init__(self, model: Any, tokenizer: Any = None, **options: Any) -> None:
        super().__init__(model, tokenizer, **options)
        if self.entailment_id < 0:
            log.warning(
                "No label of the model begins with 'entail': its last label, %r, is "
                "taken for entailment. Set id2label in its config.",
                self.model.config.labels[-1],
            )

    def __call__(self, sequences: Any, *labels: Any, **options: Any) -> Any:
        if len(labels) > 1 or (labels and "candidate_labels" in options):
            raise InputError(f"Expected texts and labels. Received also: {labels!r}.")
        if labels:
            options["candidate_labels"] = labels[0]
        return super().__call__(sequences, **options)

    predict = transform = __call__

    @property
    def entailment_id(self) -> int:
        """The class of entailment; -1, the last one, if none is called so."""
        labels = [label.lower() for label in self.model.config.labels]
        found = (i for i, label in enumerate(labels) if label.startswith("entail"))
        return next(found, -1)

    def prepare(self, item: Any, options: Options) -> list[base.Row]:
        if not isinstance(item, str) or not item:
            raise InputError(f"Expected a text. {base.received(item)}")
        if not options.labels:
            raise InputError(
                "Expected candidate_labels, such as ['sports', 'politics']. Received: "
                f"{options.candidate_labels!r}."
            )
        return [self._row(item, options.hypothesis(label)) for label in options.labels]

    def _row(self, text: str, hypothesis: str) -> base.Row:
        cut = {"truncation": "only_first", "max_length": self.longest}
        try:
            (row,) = self.encode(text, hypothesis, **cut)
        except InputError:  # the text is too short for the label to fit
            (row,) = self.encode(text, hypothesis)
        return row

    def answer(
        self,
        item: str,
        rows: Sequence[base.Row],
        outputs: Sequence[dict[str, np.ndarray]],
        options: Options,
    ) -> dict[str, Any]:
        logits = np.stack([output["logits"] for output in outputs])
        entailment = self.entailment_id
        if options.independent:
            contradiction = -1 if entailment == 0 else 0
            scores = softmax(logits[:, [contradiction, entailment]])[:, 1]
        else:
            scores = softmax(logits[:, entailment])
        order = np.argsort(scores)[::-1]
        return {
            "sequence": item,
            "labels": [options.labels[i] for i in order],
            "scores": scores[order].tolist(),
        }
