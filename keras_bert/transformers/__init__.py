"""The names of `transformers` 4.57 for TensorFlow, on this package's models.

A script written for `transformers` runs when its imports name this package:

    from keras_bert.transformers import AutoTokenizer, TFAutoModel

Names are loaded when first used: a tokenizer needs neither Keras nor TensorFlow. Models
are for Keras on TensorFlow; on JAX and PyTorch use those of `keras_bert`.
"""

import difflib
import importlib
import sys
from types import ModuleType
from typing import Any

from keras_bert.errors import UnavailableNameError
from keras_bert.families import FAMILIES
from keras_bert.families.family import CLASS_NAMES
from keras_bert.version import __version__

# Auto classes, and the kinds of head that their models have.
AUTO_KINDS = {
    "TFAutoModel" + form.format("").removeprefix("Model"): kind
    for kind, form in CLASS_NAMES.items()
    # Others stand for causal_lm and pretraining.
    if kind not in ("lm_head", "replaced_tokens", "sentence_order")
}

# What heads of one's own return.
OUTPUTS = (
    "TFBaseModelOutput",
    "TFBaseModelOutputWithPooling",
    "TFBaseModelOutputWithPoolingAndCrossAttentions",
    "TFMaskedLMOutput",
    "TFMultipleChoiceModelOutput",
    "TFNextSentencePredictorOutput",
    "TFQuestionAnsweringModelOutput",
    "TFSequenceClassifierOutput",
    "TFTokenClassifierOutput",
)

# The public names of every module.
_MODULES = {
    "batch_encoding": ("BatchEncoding", "CharSpan", "TokenSpan"),
    "collators": (
        "DataCollatorForLanguageModeling",
        "DataCollatorForTokenClassification",
        "DataCollatorForWholeWordMask",
        "DataCollatorWithPadding",
        "DefaultDataCollator",
        "default_data_collator",
        "tf_default_data_collator",
    ),
    "configs": (
        "AutoConfig",
        "PretrainedConfig",
        *(family.config.__name__ for family in FAMILIES.values()),
    ),
    "glue": (
        "InputExample",
        "InputFeatures",
        "glue_convert_examples_to_features",
        "glue_output_modes",
        "glue_tasks_num_labels",
    ),
    "keras_callbacks": ("KerasMetricCallback", "PushToHubCallback"),
    "models": (
        "TFPreTrainedModel",
        *AUTO_KINDS,
        *(f"TF{f.class_prefix}MainLayer" for f in FAMILIES.values()),
        *(f"TF{name}" for f in FAMILIES.values() for name in f.models),
    ),
    "optimization": ("AdamWeightDecay", "WarmUp", "create_optimizer"),
    "outputs": ("ModelOutput", *OUTPUTS),
    "own_models": (
        *(f"TF{f.class_prefix}PreTrainedModel" for f in FAMILIES.values()),
        "get_initializer",
        "shape_list",
        "unpack_inputs",
    ),
    "pipelines": (
        "FeatureExtractionPipeline",
        "FillMaskPipeline",
        "NerPipeline",
        "Pipeline",
        "QuestionAnsweringPipeline",
        "TextClassificationPipeline",
        "TokenClassificationPipeline",
        "ZeroShotClassificationPipeline",
        "pipeline",
    ),
    "tokenizers": (
        "AddedToken",
        "AutoTokenizer",
        "BertTokenizer",
        "BertTokenizerFast",
        "DistilBertTokenizer",
        "DistilBertTokenizerFast",
        "ElectraTokenizer",
        "ElectraTokenizerFast",
        "PreTrainedTokenizer",
        "PreTrainedTokenizerBase",
        "PreTrainedTokenizerFast",
        "RobertaTokenizer",
        "RobertaTokenizerFast",
        "XLMRobertaTokenizer",
        "XLMRobertaTokenizerFast",
    ),
    "utils": (
        "PaddingStrategy",
        "TensorType",
        "TruncationStrategy",
        "is_tf_available",
        "is_tokenizers_available",
        "is_torch_available",
        "set_seed",
    ),
}
_SUBMODULES = ("keras_callbacks", "logging", "pipelines", "utils")
_PUBLIC = {name: module for module, names in _MODULES.items() for name in names}

# Modules of `transformers` that scripts import these names from, but not all such.
_FAMILY_PLACES = [name.replace("-", "_") for name in FAMILIES]
_PLACES = (
    *("data", "data.data_collator", "data.processors", "data.processors.glue"),
    *(
        "data.processors.utils",
        "configuration_utils",
        "file_utils",
        "modeling_tf_utils",
    ),
    *("modeling_tf_outputs", "models.auto", "models.auto.modeling_tf_auto"),
    *("optimization_tf", "tf_utils", "tokenization_utils", "tokenization_utils_base"),
    *("tokenization_utils_fast",),
    *(f"models.{family}" for family in _FAMILY_PLACES),
    *(
        f"{folder}{part}_{family}"
        for family in _FAMILY_PLACES
        for folder in ("", f"models.{family}.")
        for part in ("configuration", "modeling_tf", "tokenization")
    ),
)

# What takes the place of names that scripts may import and that are not here.
_ELSEWHERE = (
    "this package holds the names of BERT and its relatives for TensorFlow; others are "
    "in transformers itself, whose last version with TensorFlow is 4.57"
)
_INSTEAD = {
    "GradientAccumulator": "give the optimizer gradient_accumulation_steps",
    "TFBertTokenizer": "keras_bert.BertTokenizerLayer.from_tokenizer(tokenizer) "
    "tokenizes in the graph",
    "TFTrainer": "use model.compile and model.fit",
    "TFTrainingArguments": "give the numbers to model.compile and model.fit",
    "TFAutoModelWithLMHead": "it is TFAutoModelForMaskedLM",
    "AdamW": "it is for PyTorch; use create_optimizer",
    "Trainer": "use model.compile and model.fit",
    "TrainingArguments": "give the numbers to model.compile and model.fit",
    "glue_processors": "read tables with keras_bert.tasks",
    "squad_convert_examples_to_features": "run tools/run_squad.py, or tokenize with "
    "stride and return_overflowing_tokens",
}

__all__ = ["__version__", *_PUBLIC, *_SUBMODULES]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _PUBLIC:
        raise _missing(name)
    value = getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


class _Place(ModuleType):
    """A module of `transformers`; here it has all names of the package."""

    def __getattr__(self, name: str) -> Any:
        return __getattr__(name)


for _place in _PLACES:
    _path = f"{__name__}.{_place}"
    sys.modules.setdefault(_path, _Place(_path))


def _missing(name: str) -> Exception:
    # `from … import` drops the message of an AttributeError, but must get one where
    # it asks for a module.
    if not name[0].isupper() and name not in _INSTEAD:
        return AttributeError(f"module {__name__!r} has no attribute {name!r}")
    instead = _INSTEAD.get(name, _ELSEWHERE)
    same = [f"TF{name}"] if f"TF{name}" in _PUBLIC else []
    near = same or difflib.get_close_matches(name, __all__, n=1)
    hint = f" Did you mean {near[0]}?" if near and name not in _INSTEAD else ""
    return UnavailableNameError(f"{__name__} has no {name}: {instead}.{hint}")


def __dir__() -> list[str]:
    return sorted(__all__)
