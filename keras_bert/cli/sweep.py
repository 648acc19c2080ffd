"""`keras-bert finetune --seeds` and `--grid`: several runs, and one table of them."""

import argparse
import itertools
import json
import shutil
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_bert.atomic_files import new_file
from keras_bert.cli.parsing import positive
from keras_bert.errors import ConfigError, ExistingOutputError

RESULT, TABLE = "result.json", "results.tsv"
# Arguments that change nothing about what a run learns.
_NOT_SETTINGS = {
    *("seeds", "grid", "output", "dry_run", "run", "command", "keep", "log_every"),
    *("checkpoint_every", "activation_checkpointing", "list_recipes", "debug"),
    "command_line",
}
_FAILED = "failed"


def add_sweep_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--seeds` and `--grid`."""
    parser.add_argument(
        "--seeds",
        type=positive,
        default=1,
        metavar="N",
        help="train N times, with --seed and the numbers after it, each in a directory "
        "of its own in --output, and print means and standard deviations",
    )
    parser.add_argument(
        "--grid",
        nargs="*",
        metavar="NAME=X,Y",
        help="train with every combination of values; without any, those of the recipe "
        "for batch size, learning rate and epochs",
    )


class Trial(NamedTuple):
    """One run of several.

    Attributes:
        changes: settings of the grid, by name.
        seed: of the run.
    """

    changes: Mapping[str, Any]
    seed: int

    @property
    def directory(self) -> str:
        settings = [f"{name}={value}" for name, value in self.changes.items()]
        return "/".join(
            [*([",".join(settings)] if settings else []), f"seed-{self.seed}"]
        )


def is_sweep(args: argparse.Namespace) -> bool:
    """Whether several runs are asked for."""
    return args.seeds > 1 or args.grid is not None


def sweep(
    args: argparse.Namespace,
    recipe: Any,
    train: Callable[..., Any],
    flags: Sequence[str],
    check: Callable[[argparse.Namespace], Any] = lambda args: None,
) -> None:
    """Trains every combination, prints a table and writes it.

    A run that ended is not repeated; one that was interrupted goes on.

    Args:
        args: of `keras-bert finetune`.
        recipe: the settings, whose grid is taken where none is given.
        train: trains by arguments; returns what scores the model, or None.
        flags: settings that are arguments of the same name.
        check: raises for arguments with a setting that cannot be; called for all
            combinations before the first is trained.

    Raises:
        ConfigError: there is nothing to evaluate on, or a directory holds a run with
            other arguments.
        ExistingOutputError: the directory holds a single run.
    """
    output = Path(args.output)
    if not (args.dev or args.data or args.dev_split):
        raise ConfigError(
            "Expected --dev, --dev-split or --data with --seeds and --grid, which "
            "compare runs on held-out data. Received: none."
        )
    if (output / "plan.json").exists():
        raise ExistingOutputError(
            f"The output {output} holds a run, not several. Choose another."
        )
    trials = _trials(args, recipe)
    for trial in trials:
        check(_arguments(args, trial, flags))
    results = []
    for number, trial in enumerate(trials, 1):
        print(f"Run {number} of {len(trials)}: {trial.directory}", flush=True)
        results.append(_result(_arguments(args, trial, flags), train))
    if not args.dry_run:
        lines = _table(trials, results)
        _write(output / TABLE, "".join("\t".join(line) + "\n" for line in lines))
        print(f"{_aligned(lines)}\nWrote {output / TABLE}")


def _trials(args: argparse.Namespace, recipe: Any) -> list[Trial]:
    if args.grid:
        axes = dict(map(_axis, args.grid))
        combinations = itertools.product(*axes.values())
        grid: Iterable[dict] = [dict(zip(axes, c, strict=True)) for c in combinations]
    else:
        grid = [{}] if args.grid is None else recipe.grid()
    seeds = range(args.seed, args.seed + args.seeds)
    return [Trial(changes, seed) for changes in grid for seed in seeds]


def _axis(text: str) -> tuple[str, list[Any]]:
    """Reads `NAME=X,Y`."""
    name, _, values = text.partition("=")
    found = [value for value in values.split(",") if value]
    if not (name and found):
        raise ConfigError(f"Expected --grid NAME=X,Y. Received: {text!r}.")
    return name.lstrip("-").replace("-", "_"), [_number(value) for value in found]


def _number(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _arguments(
    args: argparse.Namespace, trial: Trial, flags: Sequence[str]
) -> argparse.Namespace:
    """Returns the arguments of one run."""
    own = argparse.Namespace(**vars(args))
    own.output, own.seed = str(Path(args.output, trial.directory)), trial.seed
    own.split_seed, own.set = args.seed, list(args.set)
    for name, value in trial.changes.items():
        if name in flags:
            setattr(own, name, value)
        else:
            own.set.append(f"{name}={json.dumps(value)}")
    return own


def _result(args: argparse.Namespace, train: Callable[..., Any]) -> dict[str, Any]:
    """Returns the scores of a run, which is trained unless it was before."""
    from keras_bert.training.loop import TrainingStopped

    file = Path(args.output, RESULT)
    given = {k: v for k, v in vars(args).items() if k not in _NOT_SETTINGS}
    given = json.loads(json.dumps(given, default=str))
    if file.exists():
        return _read(file, given)
    try:
        score = train(args)
        scores = {} if score is None else score()
    except TrainingStopped as error:
        scores = {_FAILED: str(error)}
    if not args.dry_run:
        _write(
            file, json.dumps({"arguments": given, "scores": scores}, indent=2) + "\n"
        )
        # The model is written; the result says that the run has ended.
        shutil.rmtree(Path(args.output, "checkpoints"), ignore_errors=True)
    return scores


def _read(file: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        before, scores = dict(stored["arguments"]), dict(stored["scores"])
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{file} is corrupt: {error}. Remove it.") from error
    changes = sorted(k for k in before.keys() | given if before.get(k) != given.get(k))
    if changes:
        raise ConfigError(
            f"{file} is of a run with other arguments ({', '.join(changes)}). Choose "
            "another output directory, or remove this one to start again."
        )
    return scores


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with new_file(file, overwrite=True) as partial:
        partial.write_text(text, encoding="utf-8")


# === The table ===


def _table(
    trials: Sequence[Trial], results: Sequence[Mapping[str, Any]]
) -> list[list[str]]:
    """Returns a line for every combination: its settings, and mean ± deviation."""
    groups: dict[tuple, list] = {}
    for trial, scores in zip(trials, results, strict=True):
        groups.setdefault(tuple(trial.changes.items()), []).append(scores)
    metrics = list(dict.fromkeys(k for scores in results for k in scores))
    metrics = [name for name in metrics if name != _FAILED]
    names = list(trials[0].changes)
    lines = [[*names, "runs", *metrics]]
    for changes, found in groups.items():
        whole = [scores for scores in found if _FAILED not in scores]
        runs = (
            f"{len(whole)} of {len(found)}"
            if len(whole) < len(found)
            else str(len(whole))
        )
        cells = [_spread([s[name] for s in whole if name in s]) for name in metrics]
        lines.append([*(f"{value}" for _, value in changes), runs, *cells])
    return lines


def _spread(values: Sequence[float]) -> str:
    """Returns mean and sample standard deviation.

    Example:
        >>> _spread([0.5, 0.7]), _spread([0.25]), _spread([])
        ('0.6000 ± 0.1414', '0.2500', '–')
    """
    if not values:
        return "–"
    mean = f"{statistics.fmean(values):.4f}"
    return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
