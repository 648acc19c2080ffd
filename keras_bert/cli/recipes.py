"""What commands that train share about recipes: arguments, checks, the printed plan.

Values come from the recipe, then the file of `--config`, then `--set`, then plain
flags; later ones win. What came out is written into the run's directory, in the form
that `--config` reads.
"""

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_bert.cli.runs import check_parts, remarks
from keras_bert.errors import ConfigError, InputError, MissingExtraError, choose

USED = "recipe.json"
_DRY_RUN = "print the plan, and do not train"


def add_recipe_arguments(
    parser: argparse.ArgumentParser, listing: Callable[[], str]
) -> None:
    """Adds `--recipe`, `--list-recipes`, `--config`, `--set` and `--dry-run`.

    Args:
        parser: of the command.
        listing: returns the text that `--list-recipes` prints.
    """

    class List(argparse.Action):
        def __call__(self, *_: Any) -> None:
            print(listing())
            parser.exit()

    add = parser.add_argument
    add("--recipe", metavar="NAME", help="numbers of a published model to begin with")
    add("--list-recipes", action=List, nargs=0, help="list the recipes and end")
    add("--config", metavar="FILE", help="settings to change, in YAML or JSON")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting to change, such as phase-2.batch_size=64",
    )
    add("--dry-run", action="store_true", help=_DRY_RUN)


def changes_of(args: argparse.Namespace, flags: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the settings that were given, by dotted name; later ones weigh more.

    Args:
        args: of a parser with `add_recipe_arguments`; `recipe` is set where the file
            names one.
        flags: names of plain flags that are settings too, absent if not given.
    """
    file = read_settings(args.config) if args.config else {}
    named = file.pop("recipe", None)
    args.recipe = args.recipe or named
    given = vars(args)
    return [
        file,
        dict(map(_pair, args.set)),
        {name: given[name] for name in flags if name in given},
    ]


def listing(recipes: Mapping[str, Any]) -> str:
    """Returns names and summaries, a line each."""
    width = max(map(len, recipes))
    return "\n".join(f"{name:<{width}}  {r.summary}" for name, r in recipes.items())


def read_settings(path: str) -> dict[str, Any]:
    """Reads a mapping from a `.json` or a YAML file.

    Raises:
        MissingExtraError: YAML cannot be read without PyYAML.
        ConfigError: the file holds no mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = json.loads(text) if path.endswith(".json") else _from_yaml(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"Expected settings in {path}. Received: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"Expected names and values in {path}, such as `steps: 1000`. "
            f"Received: {values!r}."
        )
    return {str(name): value for name, value in values.items()}


def _from_yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError(
            "Expected PyYAML to read YAML. Install it with `pip install pyyaml`, or "
            "write the settings as .json."
        ) from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error).replace("\n", " ")) from error


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ConfigError(f"Expected --set NAME=VALUE. Received: {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, {"True": True, "False": False, "None": None}.get(value, value)


def write_settings(folder: Path, name: str | None, values: Mapping[str, Any]) -> None:
    """Writes what a new run begins with, for `--config`, whole or not at all.

    Args:
        folder: of the run; where one was begun, nothing changes.
        name: of the recipe.
        values: all settings.
    """
    if folder.exists() and any(folder.iterdir()):
        return
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"recipe": name, **values} if name else values, indent=2)
    partial = folder / f".{USED}.{os.getpid()}"  # processes write the same
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, folder / USED)


# === Checks ===


class Situation(NamedTuple):
    """What has to fit together in one phase.

    Attributes:
        number: of the phase, from 1.
        phase: its numbers, `keras_bert.training.recipes.Phase`.
        recipe: the recipe.
        records: their pattern.
        form: what the records are, `keras_bert.pretraining.record_form.RecordForm`.
        has_tokenizer: whether a vocabulary was given.
        has_checkpoint: whether the run begins with one.
        has_optimizer_state: whether that brings the state of an optimizer.
    """

    number: int
    phase: Any
    recipe: Any
    records: str
    form: Any
    has_tokenizer: bool
    has_checkpoint: bool
    has_optimizer_state: bool


# Settings of the data that records show: what they say, and whether that is it.
_SHOWN: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], bool]]] = {
    "max_seq_length": (lambda f: f.sizes["seq"], lambda said, found: said == found),
    "max_predictions_per_seq": (
        lambda f: None if f.compact else f.sizes["predictions"],
        lambda said, found: found in (None, said),
    ),
    "form": (
        lambda f: "compact" if f.compact else "static",
        lambda said, found: said == found,
    ),
    "objective": (
        lambda f: "nsp" if f.labeled else "none",  # "sop" looks like "nsp"
        lambda said, found: (said == "none") == (found == "none"),
    ),
    "pieces_per_row": (
        lambda f: f.sizes["pieces"] if f.packed else 1,
        lambda said, found: said == found,
    ),
}


class Check(NamedTuple):
    """A contradiction: when it holds, and what is said then."""

    is_wrong: Callable[[Situation], bool]
    message: str


CHECKS = (
    Check(
        lambda s: s.recipe.goes_on and not s.has_checkpoint,
        "Expected --init with a checkpoint: this recipe goes on from one. "
        "Received: none.",
    ),
    Check(
        lambda s: s.has_optimizer_state and not s.has_checkpoint,
        "Expected --init with --init-optimizer: the state lies beside a checkpoint. "
        "Received: none.",
    ),
    Check(
        lambda s: s.form.compact and not s.has_tokenizer,
        "Expected --vocab with the tokenizer of the records: {s.records} are compact "
        "records, which are masked when they are read. Received: none.",
    ),
    Check(
        lambda s: s.recipe.optimizer == "lamb" and not s.recipe.weight_decay,
        "Expected weight_decay above 0 with optimizer='lamb', whose steps are as long "
        "as the weights, which without decay only grow. Received: "
        "{s.recipe.weight_decay}. Set weight_decay=0.01, or optimizer=adam.",
    ),
)


def check(situation: Situation) -> None:
    """Refuses settings that contradict each other or the records.

    Raises:
        InputError: the records are not what the recipe says.
        ConfigError: any other contradiction.
    """
    for wrong in CHECKS:
        if wrong.is_wrong(situation):
            raise ConfigError(wrong.message.format(s=situation))
    phase, name = situation.phase, f"phase-{situation.number}."
    check_parts(phase.batch_size, phase.gradient_accumulation_steps, name)
    for name, (found_in, fits) in _SHOWN.items():
        said, found = situation.phase.data.get(name), found_in(situation.form)
        if said is not None and not fits(said, found):
            raise InputError(
                f"Expected records with {name}={said} for phase {situation.number}. "
                f"Received: {name}={found} in {situation.records}. Make others with "
                f"`keras-bert data --{name}={said}`, or train on these with "
                f"--set phase-{situation.number}.data.{name}={found}."
            )


def check_data_settings(recipe: Any) -> None:
    """Refuses settings of the data that `DataSettings` does not have or take."""
    from dataclasses import fields

    from keras_bert.pretraining.settings import DataSettings

    known = [field.name for field in fields(DataSettings)]
    for phase in recipe.phases:
        for name in phase.data:
            choose("setting of the data", name, known)
        DataSettings(**phase.data)


# === The printed plan ===

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def duration(seconds: float) -> str:
    """Writes a duration in its two largest units.

    Example:
        >>> duration(93_784), duration(59.4), duration(0.2)
        ('1 d 2 h', '59 s', '0 s')
    """
    rest, parts = round(seconds), []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(part for part in parts[:2] if part[:2] != "0 ") or "0 s"


def gigabytes(count: float) -> str:
    """Writes a number of bytes.

    Example:
        >>> gigabytes(1.46e9)
        '1.5 GB'
    """
    return f"{count / 1e9:,.1f} GB"


class Outline(NamedTuple):
    """What is said about a phase before it starts.

    Attributes:
        recipe: the recipe.
        stretch: the phase, with its plan and where it is kept.
        model: the model.
        records: how many there are.
        batch: some rows of the first batch.
    """

    recipe: Any
    stretch: Any
    model: Any
    records: int
    batch: tuple

    @property
    def rows(self) -> int:
        """Rows of a step."""
        return self.stretch.phase.batch_size

    @property
    def seq(self) -> int:
        """Tokens of a row."""
        return self.batch[0]["input_ids"].shape[1]

    def summary(self) -> str:
        """Returns lines that say what will be done."""
        plan, model = self.stretch.plan, self.model
        tokens = plan.steps * self.rows * self.seq
        passes = plan.steps * self.rows / self.records
        title = self.recipe.summary and f"{self.recipe.summary}.\n"
        source = self.recipe.source and f"  numbers from {self.recipe.source}\n"
        head = title + source if self.stretch.number == 1 else ""
        return (
            f"{head}phase {self.stretch.number}: {model.count_params():,} parameters, "
            f"{plan.steps:,} steps of {self.rows} rows, {tokens:,} tokens with "
            f"padding; {self.stretch.folder}\n"
            f"  {self.stretch.data}: {self.records:,} records of {self.seq} tokens, "
            f"{passes:,.1f} passes\n"
            f"  {plan.optimizer}, {self._rates()}{remarks(plan, model)}"
        )

    def _rates(self) -> str:
        plan = self.stretch.plan
        end = plan.schedule_options.get("end")
        parts = plan.gradient_accumulation_steps
        return (
            f"learning rate {plan.learning_rate:g}"
            f"{f' to {end:g}' if end else ''}, {plan.schedule}, "
            f"{plan.warmup_steps:,} steps of warm-up"
            f"{f', a step in {parts} parts' if parts > 1 else ''}"
        )

    def estimate(self, make_model: Callable[[], Any]) -> str:
        """Returns lines that say what it will take.

        Args:
            make_model: makes a model like it, for a few steps to be measured.
        """
        from keras_bert.training import estimates
        from keras_bert.training.distribution import distribution
        from keras_bert.training.monitoring import training_operations

        plan = self.stretch.plan
        shapes = {n: (self.rows, *x.shape[1:]) for n, x in self.batch[0].items()}
        operations = plan.steps * training_operations(self.model, shapes)
        devices = distribution(plan.distribution, plan.model_shards)
        parts = plan.gradient_accumulation_steps * estimates.shares(devices)
        memory = self._memory(estimates, max(1, self.rows // parts))
        seconds = estimates.measured_step_seconds(
            make_model, plan, self.batch, self.rows
        )
        return (
            f"  {operations:.2e} operations of matrix products (6 for each weight and "
            f"token, and attention)\n{memory}\n"
            f"  about {duration(plan.steps * seconds)}, {seconds:.3g} s a step, "
            f"measured on a few rows; evaluation and checkpoints not counted"
        )

    def _memory(self, estimates: Any, rows: int) -> str:
        features, wide = self.batch[0], self.model.policy.compute_dtype == "float32"
        predictions = features["masked_lm_positions"].shape[1]
        parameters = self.model.count_params()
        added = estimates.training_bytes(
            parameters,
            self.model.config,
            rows,
            self.seq,
            predictions,
            size=4 if wide else 2,
            activation_checkpointing=self.stretch.plan.activation_checkpointing,
        )
        state = estimates.state_bytes(parameters)
        return (
            f"  about {gigabytes(added)} of memory on each device, "
            f"{gigabytes(state)} of it for weights and optimizer, the rest for {rows} "
            f"rows at a time; beside the {gigabytes(estimates.process_bytes())} that "
            f"the process has (± {estimates.MARGIN:.0%}, as measured on CPUs)"
            f"{self._shortage(estimates, added)}"
        )

    def _shortage(self, estimates: Any, added: float) -> str:
        """Says that the memory there is is too little, if it is."""
        free = estimates.free_bytes()
        if free is None or added <= free:
            return ""
        sure = added * (1 - estimates.MARGIN) > free
        return (
            f"\n  This {'does not' if sure else 'may not'} fit: {gigabytes(free)} are "
            "free. A larger gradient_accumulation_steps and "
            "--activation-checkpointing take less, a smaller model least."
        )
