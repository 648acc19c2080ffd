"""`pipeline(task)`: a model and its tokenizer, from texts to results.

A module for each task; `base` is what they share.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from keras_bert.errors import InputError, MissingFileError, UnknownNameError
from keras_bert.families import FAMILIES
from keras_bert.transformers.configs import AutoConfig
from keras_bert.transformers.models import AUTO_MODELS
from keras_bert.transformers.pipelines.base import Pipeline, refuse_absent
from keras_bert.transformers.pipelines.feature_extraction import (
    FeatureExtractionPipeline,
)
from keras_bert.transformers.pipelines.fill_mask import FillMaskPipeline
from keras_bert.transformers.pipelines.question_answering import (
    QuestionAnsweringPipeline,
)
from keras_bert.transformers.pipelines.text_classification import (
    TextClassificationPipeline,
)
from keras_bert.transformers.pipelines.token_classification import (
    AggregationStrategy,
    NerPipeline,
    TokenClassificationPipeline,
)
from keras_bert.transformers.pipelines.zero_shot_classification import (
    ZeroShotClassificationPipeline,
)
from keras_bert.transformers.tokenizers import AutoTokenizer

__all__ = [
    "AggregationStrategy",
    "FeatureExtractionPipeline",
    "FillMaskPipeline",
    "NerPipeline",
    "Pipeline",
    "QuestionAnsweringPipeline",
    "TextClassificationPipeline",
    "TokenClassificationPipeline",
    "ZeroShotClassificationPipeline",
    "pipeline",
]

log = logging.getLogger(__name__)

# By task. Of tasks with one kind of head, the first is taken where none is named.
TASKS: Mapping[str, type[Pipeline]] = {
    cls.name: cls
    for cls in (
        TextClassificationPipeline,
        TokenClassificationPipeline,
        QuestionAnsweringPipeline,
        FillMaskPipeline,
        FeatureExtractionPipeline,
        ZeroShotClassificationPipeline,
    )
}
ALIASES = {"sentiment-analysis": "text-classification", "ner": "token-classification"}


class Default(NamedTuple):
    """The model that transformers takes for a task if none is given."""

    name: str
    revision: str


DEFAULTS = {
    "text-classification": Default(
        "distilbert-base-uncased-finetuned-sst-2-english", "714eb0f"
    ),
    "token-classification": Default(
        "dbmdz/bert-large-cased-finetuned-conll03-english", "4c53496"
    ),
    "question-answering": Default("distilbert-base-cased-distilled-squad", "564e9b5"),
    "feature-extraction": Default("distilbert-base-cased", "6ea8117"),
}
_KINDS = {model.kind: model for model in AUTO_MODELS.values()}


def pipeline(
    task: str | None = None,
    model: Any = None,
    config: Any = None,
    tokenizer: Any = None,
    *,
    revision: str | None = None,
    use_fast: bool = True,
    token: str | bool | None = None,
    use_auth_token: str | bool | None = None,
    device: Any = None,
    device_map: str | None = None,
    dtype: Any = None,
    torch_dtype: Any = None,
    trust_remote_code: bool | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    pipeline_class: type[Pipeline] | None = None,
    **options: Any,
) -> Pipeline:
    """Returns the pipeline of a task.

    Args:
        task: "text-classification" or "sentiment-analysis", "token-classification" or
            "ner", "question-answering", "fill-mask", "feature-extraction" or
            "zero-shot-classification"; None takes the one that the model is for.
        model: a directory, a name on the Hugging Face Hub, or a model; None takes the
            one of `transformers` for the task, with a warning.
        config: of the model, or where it is; None takes the one next to the model.
        tokenizer: where it is, or a tokenizer; None takes the one next to the model.
        revision: of a name on the Hub.
        use_fast: the tokenizer is of a class called Fast.
        token, use_auth_token: for the Hub.
        device: -1 or "cpu", or the number or name of a GPU.
        device_map: None or "auto", which leave the choice to Keras.
        dtype, torch_dtype: such as "bfloat16"; None and "auto" take float32.
        trust_remote_code: has no effect: code of others is never run.
        model_kwargs: further arguments of the model's `from_pretrained`.
        pipeline_class: instead of the task's.
        **options: `batch_size`, and options of calls; see the class of the task.

    Returns:
        The pipeline, with `model`, `tokenizer`, `task` and `save_pretrained`.

    Raises:
        UnknownNameError: there is no such task, or option.
        InputError: a value cannot be had, or model and task do not belong together.

    Example:
        >>> classify = pipeline("text-classification", "ckpt/")  # doctest: +SKIP
        >>> classify("A good film.")  # doctest: +SKIP
        [{'label': 'POSITIVE', 'score': 0.99}]

    Source: the function of this name in `transformers` 4.57.
    """
    refuse_absent(options)
    if device_map not in (None, "auto"):
        raise InputError(
            f"Expected device_map='auto' or none. Received: {device_map!r}. Keras "
            "places models; choose a GPU with device=0."
        )
    if model is None:
        model, revision = _default(task)
    finding = {"revision": revision, "token": token or use_auth_token}
    finding = {k: v for k, v in finding.items() if v is not None}
    task = task or _task_of(model, config, finding)
    cls = pipeline_class or TASKS[checked_task(task)]
    tokenizer = _tokenizer(model, config, tokenizer, use_fast, finding)
    if _is_name(model):
        floats = {"dtype": _dtype(dtype if torch_dtype is None else torch_dtype)}
        values = {"config": config, **floats, **finding, **(model_kwargs or {})}
        kind = cls.kinds[0] if cls.kinds else "encoder"
        model = _KINDS[kind].from_pretrained(model, **values)
    return cls(model, tokenizer, task=task, device=device, **options)


def checked_task(task: str) -> str:
    """Returns a task by its own name.

    Raises:
        UnknownNameError: it is none of an encoder.
    """
    name = ALIASES.get(task, task)
    if name not in TASKS:
        raise UnknownNameError(
            f"Expected a task of encoders: {', '.join((*TASKS, *ALIASES))}. Received: "
            f"{task!r}. To generate, summarize or translate text, to chat, and for "
            "images or sound, use a model that is made for it: other libraries have "
            "these."
        )
    return name


def _default(task: str | None) -> Default:
    found = DEFAULTS.get(checked_task(task)) if task else None
    if found is None:
        raise InputError(
            f"Expected a model, a path or a name on the Hub. Received: none, for task "
            f"{task!r}. The tasks {', '.join(DEFAULTS)} have one by default."
        )
    log.warning(
        "No model is given: %s is taken, revision %s. Write model=, so that results "
        "stay the same.",
        *found,
    )
    return found


def _is_name(value: Any) -> bool:
    return isinstance(value, str | Path)


def _task_of(model: Any, config: Any, finding: Mapping[str, Any]) -> str:
    """Returns the task that a model, or the class of a checkpoint, is for."""
    kind = (
        _stored_kind(model, config, finding)
        if _is_name(model)
        else getattr(model, "kind", None)
    )
    found = (name for name, cls in TASKS.items() if kind in (cls.kinds or ("encoder",)))
    task = next(found, None)
    if task is None:
        raise InputError(
            f"Expected a task, since the model does not tell. Received: {model!r:.60} "
            f"with head {kind!r}. Write pipeline(task, model=...), with one of "
            f"{', '.join(TASKS)}."
        )
    return task


def _stored_kind(model: Any, config: Any, finding: Mapping[str, Any]) -> str | None:
    if config is None or _is_name(config):
        config = AutoConfig.from_pretrained(config or model, **finding)
    names = config.architectures or ("",)
    return FAMILIES[config.model_type].models.get(names[0])


def _tokenizer(
    model: Any,
    config: Any,
    tokenizer: Any,
    use_fast: bool,
    finding: Mapping[str, Any],
) -> Any:
    """Returns the tokenizer, loaded if it is a name, or None if none is known."""
    if isinstance(tokenizer, tuple):
        tokenizer, more = tokenizer
        use_fast = more.get("use_fast", use_fast)
    if tokenizer is None:
        tokenizer = next((place for place in (model, config) if _is_name(place)), None)
    if not _is_name(tokenizer):
        return tokenizer
    finding = finding if tokenizer == model else {}
    try:
        return AutoTokenizer.from_pretrained(tokenizer, use_fast=use_fast, **finding)
    except (InputError, MissingFileError) as error:
        if not Path(tokenizer).expanduser().exists():
            raise
        raise InputError(
            f"{error} Where it is a tokenizer that this package does not have, give "
            "that of transformers: tokenizer=AutoTokenizer.from_pretrained(...)."
        ) from error


def _dtype(dtype: Any) -> str | None:
    name = str(dtype).removeprefix("torch.")
    return None if name in ("None", "auto") else name
