"""The published recipes of fine-tuning."""

from typing import Any

from keras_bert.training.recipes.base import FineTuning

_CORRECTION = "bias correction as Zhang et al. 2021 (arXiv:2006.05987) advise"
_WARMUP = f"warm-up of `run_classifier.py`; {_CORRECTION}"
_DEVLIN = "Devlin et al. 2018 (arXiv:1810.04805)"


def _glue(task: str, **values: Any) -> FineTuning:
    source = (
        f"{_DEVLIN}, section 4.1 for batch and epochs, appendix A.3 for the grid; "
        f"{_WARMUP}"
    )
    return FineTuning(summary=f"GLUE: {task}", source=source, **values)


def _squad(version: str, section: str, **values: Any) -> FineTuning:
    return FineTuning(
        summary=f"SQuAD {version}: the answer is a span of a text",
        source=(
            f"{_DEVLIN}, section {section}; lengths and warm-up of `run_squad.py`; "
            "windows that overlap by 128 tokens, as in `run_qa.py` of transformers; "
            f"{_CORRECTION}"
        ),
        head="question_answering",
        learning_rate=5e-5,
        max_length=384,
        options={"doc_stride": 128, "max_query_length": 64, "max_answer_length": 30},
        **values,
    )


FINE_TUNING: dict[str, FineTuning] = {
    "cola": _glue("is a sentence grammatical"),
    "sst-2": _glue("is a review positive"),
    "mrpc": _glue("are two sentences paraphrases"),
    "sts-b": _glue("how similar are two sentences", regression=True),
    "qqp": _glue("do two questions ask the same"),
    "mnli": _glue("does a sentence entail another, contradict it, or neither"),
    "qnli": _glue("does a sentence answer a question"),
    "rte": _glue("does a sentence entail another"),
    "wnli": _glue("to whom does a pronoun refer"),
    "squad-1.1": _squad("1.1", "4.2", epochs=3, batch_size=32),
    "squad-2.0": _squad("2.0", "4.3", epochs=2, batch_size=48),
    "swag": FineTuning(
        summary="SWAG: which of four endings is the most plausible",
        source=f"{_DEVLIN}, section 4.4; {_WARMUP}",
        head="multiple_choice",
        batch_size=16,
    ),
    "conll-2003": FineTuning(
        summary="CoNLL 2003: names of persons, locations and organizations",
        source=f"{_DEVLIN}, appendix A.3; {_WARMUP}; section 5.3 for the task",
        head="token_classification",
    ),
    "roberta-glue": FineTuning(
        summary="GLUE with a RoBERTa checkpoint; use --patience for early stopping",
        source="Liu et al. 2019 (arXiv:1907.11692), table 10 and section 5.1",
        learning_rate=2e-5,
        epochs=10,
        warmup=0.06,
        weight_decay=0.1,
        clip_norm=None,
        optimizer_options={"beta_2": 0.98, "epsilon": 1e-6},
        learning_rates=(1e-5, 2e-5, 3e-5),
        epoch_counts=(10,),
    ),
    "small-models": FineTuning(
        summary="Any classification task with one of the 24 small models",
        source=f"README of google-research/bert, Smaller BERT Models; {_WARMUP}",
        learning_rate=1e-4,
        epochs=4,
        batch_sizes=(8, 16, 32, 64, 128),
        learning_rates=(3e-4, 1e-4, 5e-5, 3e-5),
        epoch_counts=(4,),
    ),
}
