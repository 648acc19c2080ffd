"""`keras-bert pretrain`: masked LM and next sentence, from records."""

import argparse
from functools import partial, reduce
from pathlib import Path
from typing import Any, NamedTuple

from keras_bert.cli.recipes import (
    Outline,
    Situation,
    add_recipe_arguments,
    changes_of,
    check,
    check_data_settings,
    listing,
    write_settings,
)
from keras_bert.cli.runs import (
    FLAG,
    SETTINGS,
    add_run_arguments,
    check_parts,
    check_vocabulary,
    circumstances,
    draw,
    finish,
)
from keras_bert.errors import ConfigError, choose
from keras_bert.pretraining.masking import UNITS
from keras_bert.pretraining.settings import DataSettings

# Settings of a recipe that are flags too, and those of its data.
FLAGS = (*SETTINGS, "model", "steps", "warmup_steps", "unfreeze_every")
DATA_FLAGS = ("masking", "masked_lm_prob", "max_predictions_per_seq")
DEFAULTS = {"batch_size": 256, "learning_rate": 1e-4}
CHECKED_ROWS = 64  # of the first batch, for ids that the model has no rows for


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_recipe_arguments(parser, _listing)
    add, many = parser.add_argument, dict(nargs="+", metavar="PATTERN")
    add("--data", required=True, **many, help="records, names or a glob, of each phase")
    add("--heldout", **many, help="records to evaluate on, not trained on")
    add("--heldout-batches", type=int, default=50, help="batches of an evaluation")
    add("--phase", type=int, help="train this phase alone, after the one before")
    add(
        "--estimate",
        action=argparse.BooleanOptionalAction,
        help="measure how long it will take; by default, of recipes and dry runs",
    )
    add(
        "--vocab",
        metavar="PATH",
        help="vocab.txt or tokenizer directory, if not with --init; static records "
        "can do without",
    )
    _add_starts(parser)
    add = partial(add, **FLAG)
    add("--steps", type=int, help="optimizer steps, shared out over the phases")
    add("--warmup-steps", type=int, help="steps of the warm-up (0)")
    add(
        "--unfreeze-every",
        type=int,
        metavar="STEPS",
        help="begin with all layers frozen, or --freeze-layers of them, and thaw one "
        "after so many steps",
    )
    add_run_arguments(parser, **DEFAULTS)
    _add_masking(parser)


def _add_starts(parser: argparse.ArgumentParser) -> None:
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--model",
        **FLAG,
        help="size by name, or a config file, to begin anew (base)",
    )
    start.add_argument(
        "--init", metavar="PATH", help="a checkpoint of any format to go on from"
    )
    parser.add_argument(
        "--init-optimizer",
        action="store_true",
        help="go on with the optimizer's state and step that lie beside --init, as "
        "`keras-bert convert` writes them",
    )


def _add_masking(parser: argparse.ArgumentParser) -> None:
    masking = parser.add_argument_group("masking of compact records")
    add = partial(masking.add_argument, **FLAG)
    add("--masking", choices=UNITS, help="unit (token)")
    add("--masked-lm-prob", type=float, help="share of a row's tokens (0.15)")
    add("--max-predictions-per-seq", type=int, help="positions at most (20)")


def _listing() -> str:
    from keras_bert.training.recipes import PRETRAINING

    return listing(PRETRAINING)


def run(args: argparse.Namespace) -> None:
    """Trains, and writes model and curves beside the run's log and checkpoints."""
    from keras_bert.training.distribution import distribution
    from keras_bert.training.estimates import shares
    from keras_bert.training.loop import check as check_plan

    recipe = _recipe(args)
    check_data_settings(recipe)
    tokenizer = _tokenizer(args)
    config = None if args.init else _config(recipe, tokenizer)
    phases = _phases(args, recipe)
    plan, before = phases[0].plan, _before(args, recipe, phases[0])
    for phase in phases:
        check(_situation(args, recipe, phase, tokenizer))
    devices = distribution(plan.distribution, plan.model_shards)
    for phase in phases:
        check_parts(*phase.parts, shares(devices))
    with devices.scope():
        model = _model(args, config, phases[0].form)
    for phase in phases:
        check_plan(phase.plan, model, phase.heldout)
    if tokenizer:
        check_vocabulary(tokenizer, model)
    for phase in phases:
        _print_phase(args, recipe, phase, model, tokenizer)
    if before:
        print(f"Weights and optimizer go on from {before}.")
    if args.phase is None and len(phases) < len(recipe.phases):
        print(
            f"Phase {len(phases) + 1} of {len(recipe.phases)} is not trained: --data "
            "names no records for it. The same command with them goes on to it."
        )
    if not args.dry_run:
        _train(args, recipe, phases, before, model, tokenizer)


# === What is to be done ===


class Stretch(NamedTuple):
    """A phase of a recipe, what it is trained on, and where it is kept.

    Attributes:
        number: from 1.
        phase: its numbers.
        plan: for the training loop.
        folder: of its run.
        data: pattern of the records.
        form: of the records.
        heldout: pattern of held-out records, or None.
    """

    number: int
    phase: Any
    plan: Any
    folder: Path
    data: str
    form: Any
    heldout: str | None

    @property
    def parts(self) -> tuple[int, int, str]:
        """The arguments of `check_parts`."""
        phase = self.phase
        parts = phase.gradient_accumulation_steps
        return phase.batch_size, parts, f"phase-{self.number}."

    def batches(self, args: argparse.Namespace, tokenizer: Any) -> tuple[Any, Any]:
        """Returns the batches to train on, and those to evaluate on or None."""
        from keras_bert.pretraining.numpy_reading import RecordBatches

        masking = DataSettings(**self.phase.data).masking_settings
        options = dict(seed=args.seed, tokenizer=tokenizer, masking=masking)
        train = RecordBatches(self.data, self.phase.batch_size, **options)
        if not self.heldout:
            return train, None
        options |= dict(shuffle=False, repeat=False, limit=args.heldout_batches)
        return train, RecordBatches(self.heldout, self.phase.batch_size, **options)


def _recipe(args: argparse.Namespace) -> Any:
    """Returns the numbers: of a recipe or the command's own, with what was changed."""
    from keras_bert.training.recipes import PRETRAINING, Phase, Recipe, override

    given = changes_of(args, FLAGS)
    recipe = Recipe(phases=(Phase(steps=1, **DEFAULTS),))  # how many has to be said
    if args.recipe:
        recipe = PRETRAINING[choose("recipe", args.recipe, PRETRAINING)]
    elif not any("steps" in changes or "phase-1.steps" in changes for changes in given):
        raise ConfigError("Expected --steps or --recipe. Received: neither.")
    for name in DATA_FLAGS:
        if name in args:
            given.append({f"data.{name}": getattr(args, name)})
    return reduce(override, given, recipe)


def _phases(args: argparse.Namespace, recipe: Any) -> list[Stretch]:
    """Returns the phases that are to be trained, as many as there are records for."""
    from keras_bert.pretraining.record_form import record_files, record_form

    plans = recipe.plans(**circumstances(args))
    numbers = list(range(1, len(plans) + 1))
    if args.phase is not None:
        choose("phase", str(args.phase), map(str, numbers))
        numbers = [args.phase]
    _refuse_more(numbers, args.data, "--data")
    _refuse_more(args.data, args.heldout or [], "--heldout")
    heldout = [*(args.heldout or []), *[None] * len(args.data)]
    return [
        Stretch(
            number,
            recipe.phases[number - 1],
            plans[number - 1],
            _folder(Path(args.output), number, len(plans)),
            pattern,
            record_form(record_files(pattern)),
            held,
        )
        for number, pattern, held in zip(numbers, args.data, heldout, strict=False)
    ]


def _folder(output: Path, number: int, phases: int) -> Path:
    """Returns where a phase is kept: apart, if the recipe has several."""
    # Earlier versions kept a phase that was trained alone as a run without phases.
    alone = phases == 1 or (output / "plan.json").exists()
    return output if alone else output / f"phase-{number}"


def _before(args: argparse.Namespace, recipe: Any, first: Stretch) -> Path | None:
    """Returns the run that the first phase to train goes on from, if there is one.

    Raises:
        ConfigError: a later phase, and nothing to go on from.
    """
    from keras_bert.training.checkpointing import Checkpoints

    def steps(folder: Path) -> list[int]:
        return Checkpoints(folder / "checkpoints", keep=1, writes=False).steps()

    if first.number == 1 or args.init or steps(first.folder):
        return None
    before = first.folder.with_name(f"phase-{first.number - 1}")
    if not steps(before):
        raise ConfigError(
            f"Expected the run of phase {first.number - 1} in {before} to go on from, "
            "or --init with its weights, and a new optimizer. Received: neither."
        )
    done, wanted = steps(before)[-1], recipe.phases[first.number - 2].steps
    if done < wanted and args.patience is None:
        raise ConfigError(
            f"Expected phase {first.number - 1} in {before} to have ended, at step "
            f"{wanted}. Received: step {done}. Train it to its end."
        )
    return before


def _refuse_more(wanted: list, patterns: list, flag: str) -> None:
    if len(patterns) > len(wanted):
        raise ConfigError(
            f"Expected {flag} with one pattern for each phase, {len(wanted)} at most. "
            f"Received: {' '.join(patterns)}. Put a pattern in quotes, so that the "
            "shell leaves it one."
        )


def _situation(
    args: argparse.Namespace, recipe: Any, phase: Stretch, tokenizer: Any
) -> Situation:
    return Situation(
        number=phase.number,
        phase=phase.phase,
        recipe=recipe,
        records=phase.data,
        form=phase.form,
        has_tokenizer=tokenizer is not None,
        has_checkpoint=bool(args.init),
        has_optimizer_state=args.init_optimizer,
    )


def _tokenizer(args: argparse.Namespace) -> Any:
    """Returns the tokenizer that was given or lies beside the checkpoint, or None."""
    from keras_bert.tokenization import BertTokenizer

    if args.vocab:
        return BertTokenizer.from_pretrained(args.vocab)
    if args.init and (Path(args.init) / "vocab.txt").exists():
        return BertTokenizer.from_pretrained(args.init)
    return None


def _config(recipe: Any, tokenizer: Any) -> Any:
    from keras_bert.families.bert import BertConfig

    if Path(recipe.model).suffix == ".json":
        return BertConfig.from_json_file(recipe.model)
    sizes = {"vocab_size": tokenizer.vocab_size} if tokenizer else {}
    return BertConfig.preset(recipe.model, **sizes)


def _model(args: argparse.Namespace, config: Any, form: Any) -> Any:
    import keras_bert

    options = dict(dtype=args.dtype, seed=args.seed)
    kind = keras_bert.BertForPreTraining
    if not form.labeled:  # nothing asks for a second task
        kind = keras_bert.BertForMaskedLM
    if args.init:
        return kind.from_pretrained(args.init, **options)
    return kind(config, **options)


# === The printed plan ===


def _print_phase(
    args: argparse.Namespace, recipe: Any, phase: Stretch, model: Any, tokenizer: Any
) -> None:
    train, _ = phase.batches(args, tokenizer)
    batch = train(1, slice(0, CHECKED_ROWS))
    model.check(batch[0])  # rows may be longer than it takes, ids too large
    outline = Outline(recipe, phase, model, train.records, batch)
    print(outline.summary())
    wanted = args.recipe or args.dry_run if args.estimate is None else args.estimate
    if wanted:
        options = dict(dtype=args.dtype, seed=args.seed)
        print(outline.estimate(partial(type(model), model.config, **options)))


# === Training ===


def _train(
    args: argparse.Namespace,
    recipe: Any,
    phases: list[Stretch],
    before: Path | None,
    model: Any,
    tokenizer: Any,
) -> None:
    from keras_bert.training.loop import Run
    from keras_bert.training.recipes import settings

    if args.recipe or args.config:
        write_settings(Path(args.output), args.recipe, settings(recipe))
    state = args.init if args.init_optimizer else None
    for phase in phases:
        batches = phase.batches(args, tokenizer)
        run = Run(
            model,
            phase.plan,
            phase.folder,
            *batches,
            optimizer_state=state,
            before=before,
        )
        run()
        draw(run)
        state, before = None, phase.folder
    finish(run, tokenizer, args.output)
