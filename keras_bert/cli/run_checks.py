"""Contradictions between the settings, the records and the checkpoint of a phase."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple

from keras_bert.errors import ConfigError, InputError, choose
from keras_bert.pretraining.settings import DataSettings
from keras_bert.training.checks import check_microbatches


class RunChecks(NamedTuple):
    """What has to be consistent in one phase of pretraining.

    Attributes:
        number: of the phase, from 1.
        phase: its settings, `keras_bert.training.recipes.Phase`.
        recipe: the recipe.
        records: their pattern.
        form: of the records, `keras_bert.pretraining.record_form.RecordForm`.
        has_tokenizer: whether a vocabulary was given.
        has_checkpoint: whether the run starts from one.
        has_optimizer_state: whether it loads the optimizer state of that.
    """

    number: int
    phase: Any
    recipe: Any
    records: str
    form: Any
    has_tokenizer: bool
    has_checkpoint: bool
    has_optimizer_state: bool

    def run(self) -> None:
        """Raises an error at the first contradiction.

        Raises:
            InputError: the records are not those of the recipe.
            ConfigError: any other contradiction.
        """
        for contradiction in CONTRADICTIONS:
            if contradiction.found_in(self):
                raise ConfigError(contradiction.message.format(run=self))
        check_microbatches(
            self.phase.batch_size,
            self.phase.gradient_accumulation_steps,
            f"phase-{self.number}.",
        )
        for name, (read, matches) in _IN_RECORDS.items():
            expected, found = self.phase.data.get(name), read(self.form)
            if expected is not None and not matches(expected, found):
                flag, number = name.replace("_", "-"), self.number
                raise InputError(
                    f"Expected records with {name}={expected} for phase {number}. "
                    f"Received: {name}={found} in {self.records}. Create others with "
                    f"`keras-bert data --{flag}={expected}`, or train on these with "
                    f"--set phase-{number}.data.{name}={found}."
                )


class Contradiction(NamedTuple):
    """When it is found, and the error message."""

    found_in: Callable[[RunChecks], bool]
    message: str


CONTRADICTIONS = (
    Contradiction(
        lambda run: run.recipe.from_checkpoint and not run.has_checkpoint,
        "Expected --init with a checkpoint, from which this recipe starts. "
        "Received: none.",
    ),
    Contradiction(
        lambda run: run.has_optimizer_state and not run.has_checkpoint,
        "Expected --init with --init-optimizer, whose file is next to a checkpoint. "
        "Received: none.",
    ),
    Contradiction(
        lambda run: run.form.compact and not run.has_tokenizer,
        "Expected --vocab with the tokenizer of the records: {run.records} are compact "
        "records, which are masked as they are read. Received: none.",
    ),
    Contradiction(
        lambda run: run.recipe.optimizer == "lamb" and not run.recipe.weight_decay,
        "Expected weight_decay above 0 with optimizer='lamb', whose updates are "
        "proportional to the weights, so that without decay these only grow. Received: "
        "{run.recipe.weight_decay}. Set weight_decay=0.01, or optimizer=adam.",
    ),
)


def _equal(expected: Any, found: Any) -> bool:
    return expected == found


# Settings of the data that records reveal: how to read one, and whether it matches.
_IN_RECORDS: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], bool]]] = {
    "max_seq_length": (lambda form: form.sizes["seq"], _equal),
    "max_predictions_per_seq": (
        lambda form: None if form.compact else form.sizes["predictions"],
        lambda expected, found: found in (None, expected),
    ),
    "form": (lambda form: "compact" if form.compact else "static", _equal),
    "objective": (
        lambda form: "nsp" if form.labeled else "none",  # "sop" looks like "nsp"
        lambda expected, found: (expected == "none") == (found == "none"),
    ),
    "pieces_per_row": (lambda form: form.sizes["pieces"] if form.packed else 1, _equal),
}


def check_data_settings(recipe: Any) -> None:
    """Raises an error for settings of the data that `DataSettings` refuses."""
    known = [field.name for field in fields(DataSettings)]
    for phase in recipe.phases:
        for name in phase.data:
            choose("setting of the data", name, known)
        DataSettings(**phase.data)
