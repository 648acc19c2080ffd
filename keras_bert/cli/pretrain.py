"""`keras-bert pretrain`: masked LM and next sentence, from records."""

import argparse
from functools import partial, reduce
from pathlib import Path
from typing import Any, NamedTuple

from keras_bert.cli.models import class_of
from keras_bert.cli.parsing import FROM_RECIPE, positive
from keras_bert.cli.plan_summary import PlanSummary
from keras_bert.cli.recipes import (
    add_recipe_arguments,
    changes_of,
    listing,
    write_settings,
)
from keras_bert.cli.run_checks import RunChecks, check_data_settings
from keras_bert.cli.runs import (
    RECIPE_FLAGS,
    add_run_arguments,
    draw,
    finish,
    runtime_options,
)
from keras_bert.errors import ConfigError, choose
from keras_bert.pretraining.masking import UNITS
from keras_bert.pretraining.settings import DataSettings
from keras_bert.training.checks import check_microbatches, check_vocabulary

# Settings of a recipe that are also flags, and those of its data.
FLAGS = (*RECIPE_FLAGS, "model", "steps", "warmup_steps", "unfreeze_every")
DATA_FLAGS = ("masking", "masked_lm_prob", "max_predictions_per_seq")
DEFAULTS = {"batch_size": 256, "learning_rate": 1e-4}
CHECKED_ROWS = 64  # of the first batch, for ids beyond the embedding tables


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_recipe_arguments(parser, _listing)
    add, many = parser.add_argument, dict(nargs="+", metavar="PATTERN")
    add("--data", required=True, **many, help="records of each phase, names or a glob")
    add("--heldout", **many, help="held-out records of each phase, to evaluate on")
    add("--heldout-batches", type=positive, default=50, help="batches per evaluation")
    add("--phase", type=int, help="train only this phase, after the previous one")
    add(
        "--estimate",
        action=argparse.BooleanOptionalAction,
        help="estimate the training time on a few steps; by default with --recipe and "
        "--dry-run",
    )
    add(
        "--vocab",
        metavar="PATH",
        help="vocab.txt or tokenizer directory, if not in --init; not needed for "
        "static records",
    )
    _add_starts(parser)
    add = partial(add, **FROM_RECIPE)
    add("--steps", type=int, help="optimizer steps, divided over the phases")
    add("--warmup-steps", type=int, help="warm-up steps (0)")
    add(
        "--unfreeze-every",
        type=int,
        metavar="STEPS",
        help="start with all layers frozen, or with --freeze-layers of them, and thaw "
        "one layer every STEPS steps",
    )
    add_run_arguments(parser, **DEFAULTS)
    _add_masking(parser)


def _add_starts(parser: argparse.ArgumentParser) -> None:
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--model",
        **FROM_RECIPE,
        help="size of a new model by name, or a config file (base)",
    )
    start.add_argument(
        "--init", metavar="PATH", help="start from a checkpoint of any format"
    )
    parser.add_argument(
        "--init-optimizer",
        action="store_true",
        help="also load the optimizer state and step that `keras-bert convert` wrote "
        "next to the checkpoint",
    )


def _add_masking(parser: argparse.ArgumentParser) -> None:
    masking = parser.add_argument_group("masking of compact records")
    add = partial(masking.add_argument, **FROM_RECIPE)
    add("--masking", choices=UNITS, help="unit that is masked together (token)")
    add("--masked-lm-prob", type=float, help="fraction of tokens to mask (0.15)")
    add("--max-predictions-per-seq", type=int, help="most masked tokens per row (20)")


def _listing() -> str:
    from keras_bert.training.recipes import PRETRAINING

    return listing(PRETRAINING)


def run(args: argparse.Namespace) -> None:
    """Trains, and writes model and curves into the run's directory."""
    from keras_bert.training.distribution import distribution
    from keras_bert.training.loop import check

    recipe = _recipe(args)
    check_data_settings(recipe)
    tokenizer = _tokenizer(args)
    config = None if args.init else _config(recipe, tokenizer)
    phases = _phases(args, recipe)
    plan, before = phases[0].plan, _before(args, recipe, phases[0])
    for phase in phases:
        _checks(args, recipe, phase, tokenizer).run()
    devices = distribution(plan.distribution, plan.model_shards)
    for phase in phases:
        phase.check_microbatches(devices.replicas)
    with devices.scope():
        model = _model(args, config, phases[0].form)
    for phase in phases:
        check(phase.plan, model, phase.heldout)
    if tokenizer:
        check_vocabulary(tokenizer, model)
    for phase in phases:
        _print_phase(args, recipe, phase, model, tokenizer)
    if before:
        print(f"Starting from the weights and optimizer of {before}.")
    if args.phase is None and len(phases) < len(recipe.phases):
        print(
            f"Phase {len(phases) + 1} of {len(recipe.phases)} is not trained: --data "
            "has no records for it. Run the same command with them to train it."
        )
    if not args.dry_run:
        _train(args, recipe, phases, before, model, tokenizer)


# === Phases ===


class PhaseRun(NamedTuple):
    """One phase of a recipe, its data, and the directory of its run.

    Attributes:
        number: from 1.
        phase: its settings.
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

    def check_microbatches(self, replicas: int) -> None:
        """Raises an error if the devices cannot divide a batch."""
        phase = self.phase
        microbatches = phase.gradient_accumulation_steps
        setting = f"phase-{self.number}."
        check_microbatches(phase.batch_size, microbatches, setting, replicas)

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
    """Returns the recipe, or the command's own defaults, with all changes applied."""
    from keras_bert.training.recipes import PRETRAINING, Phase, Recipe, override

    given = changes_of(args, FLAGS)
    recipe = Recipe(phases=(Phase(steps=1, **DEFAULTS),))  # steps are required below
    if args.recipe:
        recipe = PRETRAINING[choose("recipe", args.recipe, PRETRAINING)]
    elif not any("steps" in changes or "phase-1.steps" in changes for changes in given):
        raise ConfigError("Expected --steps or --recipe. Received: neither.")
    for name in DATA_FLAGS:
        if name in args:
            given.append({f"data.{name}": getattr(args, name)})
    return reduce(override, given, recipe)


def _phases(args: argparse.Namespace, recipe: Any) -> list[PhaseRun]:
    """Returns the phases to train: those that records were given for."""
    from keras_bert.pretraining.record_form import record_files, record_form

    plans = recipe.plans(**runtime_options(args))
    numbers = list(range(1, len(plans) + 1))
    if args.phase is not None:
        choose("phase", str(args.phase), map(str, numbers))
        numbers = [args.phase]
    _refuse_more(numbers, args.data, "--data")
    _refuse_more(args.data, args.heldout or [], "--heldout")
    heldout = [*(args.heldout or []), *[None] * len(args.data)]
    return [
        PhaseRun(
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
    """Returns the directory of a phase, a subdirectory if the recipe has several."""
    # Earlier versions did not make one for a phase that was trained alone.
    alone = phases == 1 or (output / "plan.json").exists()
    return output if alone else output / f"phase-{number}"


def _before(args: argparse.Namespace, recipe: Any, first: PhaseRun) -> Path | None:
    """Returns the run that the first phase to train starts from, if any.

    Raises:
        ConfigError: a later phase without a run or a checkpoint to start from.
    """
    from keras_bert.training.checkpointing import Checkpoints

    def steps(folder: Path) -> list[int]:
        return Checkpoints(folder / "checkpoints", keep=1, writes=False).steps()

    if first.number == 1 or args.init or steps(first.folder):
        return None
    before = first.folder.with_name(f"phase-{first.number - 1}")
    if not steps(before):
        raise ConfigError(
            f"Expected the run of phase {first.number - 1} in {before} to start from, "
            "or --init with its weights, for a new optimizer. Received: neither."
        )
    done, wanted = steps(before)[-1], recipe.phases[first.number - 2].steps
    if done < wanted and args.patience is None:
        raise ConfigError(
            f"Expected phase {first.number - 1} in {before} to be complete, at step "
            f"{wanted}. Received: step {done}. Train it to its end first."
        )
    return before


def _refuse_more(wanted: list, patterns: list, flag: str) -> None:
    if len(patterns) > len(wanted):
        raise ConfigError(
            f"Expected {flag} with one pattern for each phase, {len(wanted)} at most. "
            f"Received: {' '.join(patterns)}. Put a pattern in quotes, so that the "
            "shell does not expand it."
        )


def _checks(
    args: argparse.Namespace, recipe: Any, phase: PhaseRun, tokenizer: Any
) -> RunChecks:
    return RunChecks(
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
    """Returns the tokenizer of `--vocab` or of the checkpoint, or None."""
    from keras_bert.loading import local_path
    from keras_bert.tokenization import BertTokenizer
    from keras_bert.tokenizer_folder import FAST_FILE, VOCAB_FILE

    if args.vocab:
        return BertTokenizer.from_pretrained(args.vocab)
    folder = local_path(args.init) if args.init else Path()
    if args.init and any((folder / name).is_file() for name in (VOCAB_FILE, FAST_FILE)):
        return BertTokenizer.from_pretrained(folder)
    return None


def _config(recipe: Any, tokenizer: Any) -> Any:
    from keras_bert import families
    from keras_bert.config import read_json_file

    if Path(recipe.model).suffix == ".json":
        return families.read_config(read_json_file(recipe.model))
    sizes = {"vocab_size": len(tokenizer)} if tokenizer else {}
    return families.preset(recipe.model, **sizes)


def _model(args: argparse.Namespace, config: Any, form: Any) -> Any:
    from keras_bert.checkpoints import formats
    from keras_bert.loading import load_pretrained, local_path

    options = dict(dtype=args.dtype, seed=args.seed)
    kind = "pretraining" if form.labeled else "masked_lm"
    if not args.init:
        return class_of(config, kind)(config, **options)
    checkpoint = formats.read(local_path(args.init))
    model_class = class_of(checkpoint.config, kind)
    return load_pretrained(model_class, checkpoint, **options)


def _print_phase(
    args: argparse.Namespace, recipe: Any, phase: PhaseRun, model: Any, tokenizer: Any
) -> None:
    train, _ = phase.batches(args, tokenizer)
    batch = train(1, slice(0, CHECKED_ROWS))
    model.check(batch[0])  # the length of rows, and the range of ids
    summary = PlanSummary(recipe, phase, model, train.records, batch)
    print(summary.summary())
    wanted = args.recipe or args.dry_run if args.estimate is None else args.estimate
    if wanted:
        options = dict(dtype=args.dtype, seed=args.seed)
        print(summary.estimate(partial(type(model), model.config, **options)))


# === Training ===


def _train(
    args: argparse.Namespace,
    recipe: Any,
    phases: list[PhaseRun],
    before: Path | None,
    model: Any,
    tokenizer: Any,
) -> None:
    from keras_bert.tasks.run_report import report_pretraining
    from keras_bert.training.loop import Run
    from keras_bert.training.recipes import settings

    if args.recipe or args.config:
        write_settings(Path(args.output), args.recipe, settings(recipe))
    state = args.init if args.init_optimizer else None
    for phase in phases:
        run = Run(
            model,
            phase.plan,
            phase.folder,
            *phase.batches(args, tokenizer),
            optimizer_state=state,
            before=before,
        )
        run()
        draw(run)
        report_pretraining(run, args.command_line)
        state, before = None, phase.folder
    finish(run, tokenizer, args.output)
