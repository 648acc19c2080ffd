"""Labels of texts: `pipeline("text-classification")`."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_bert.errors import InputError, check_counts, choose
from keras_bert.transformers.pipelines import base
from keras_bert.transformers.pipelines.computation import sigmoid, softmax

FUNCTIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "sigmoid": sigmoid,
    "softmax": softmax,
    "none": lambda logits: logits,
}
NOT_GIVEN = ""  # None is all labels


@dataclass(frozen=True)
class Options(base.Options):
    """The options of `TextClassificationPipeline`."""

    function_to_apply: str | None = None
    top_k: int | str | None = NOT_GIVEN
    return_all_scores: bool | None = None

    def __post_init__(self) -> None:
        if self.function_to_apply is not None:
            choose("function_to_apply", str(self.function_to_apply).lower(), FUNCTIONS)
        if self.top_k not in (NOT_GIVEN, None):
            check_counts(top_k=self.top_k)
        if self.return_all_scores is not None:
            message = "return_all_scores is an old spelling; write top_k=None, or 1."
            warnings.warn(message, UserWarning, stacklevel=5)

    @property
    def lists_labels(self) -> bool:
        """Whether the result of a text is a list of labels, from `top_k`."""
        return self.top_k != NOT_GIVEN


class TextClassificationPipeline(base.Pipeline):
    """Labels of texts; see `Pipeline`.

    Call arguments:
        inputs: texts, or dicts with `text` and `text_pair`.
        top_k: the number of labels of a text, best first; None returns all.
        function_to_apply: "softmax", "sigmoid" or "none", what makes scores of
            logits; None follows the config: "none" for a regression, "sigmoid" for
            one label or several of a text, otherwise "softmax".
        return_all_scores: the old spelling of `top_k=None`, in the order of labels.
        **options: of the tokenizer's call, such as `truncation`, `max_length`.

    Returns:
        `{"label": "LABEL_1", "score": 0.9}` of each text, in a list also for one text
        alone; with `top_k` a list of these of each.
    """

    name = "text-classification"
    kinds = ("sequence_classification",)
    options_type = Options
    takes_tokenizer_options = True

    def __call__(self, inputs: Any, **options: Any) -> Any:
        result = super().__call__(inputs, **options)
        alone = isinstance(inputs, str) and "top_k" not in options
        return [result] if alone else result

    predict = transform = __call__

    def read(self, given: Mapping[str, Any]) -> Options:
        stored = getattr(self.model.config, "return_all_scores", None)
        kept = {} if stored is None else {"return_all_scores": stored}
        return super().read({**kept, **given})

    def prepare(self, item: Any, options: Options) -> list[base.Row]:
        if isinstance(item, list) and len(item) == 1 and _is_pair(item[0]):
            item = dict(zip(("text", "text_pair"), item[0], strict=True))
        if not isinstance(item, Mapping):
            return super().prepare(item, options)
        for key in item:
            choose("key of a text", key, ("text", "text_pair"))
        if not isinstance(item.get("text"), str):
            raise InputError(f"Expected a text under 'text'. {base.received(item)}")
        return self.encode(item["text"], item.get("text_pair"), **options.tokenizer)

    def answer(
        self,
        item: Any,
        rows: Sequence[base.Row],
        outputs: Sequence[dict[str, np.ndarray]],
        options: Options,
    ) -> Any:
        function = options.function_to_apply or function_of(self.model.config)
        scores = FUNCTIONS[function.lower()](outputs[0]["logits"]).tolist()
        labels = self.model.config.labels
        found = [
            {"label": label, "score": score}
            for label, score in zip(labels, scores, strict=True)
        ]
        if options.return_all_scores and not options.lists_labels:
            return found
        found.sort(key=lambda each: each["score"], reverse=True)
        return found[: options.top_k] if options.lists_labels else found[0]


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2


def function_of(config: Any) -> str:
    """Returns the name of what makes scores of logits, by a model's config."""
    if config.problem_type == "regression":
        return "none"
    several = config.problem_type == "multi_label_classification"
    return "sigmoid" if several or config.num_labels == 1 else "softmax"
