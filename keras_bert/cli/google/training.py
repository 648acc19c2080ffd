"""Training as Google's scripts do: their optimizer, and checkpoints in their format."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert.errors import ExistingOutputError

RUN = "run"  # the directory of the training loop, in that of the outputs
SLOTS = ("adam_m", "adam_v")


def train(
    model: Any,
    batches: Any,
    args: argparse.Namespace,
    folder: Path,
    *,
    steps: int,
    warmup_steps: int,
) -> None:
    """Trains a model and writes `model.ckpt-<step>` in Google's format.

    Run again, it resumes; a completed run only restores the weights.

    Args:
        model: trained in place.
        batches: by number, see `keras_bert.training.batches`.
        args: with `learning_rate` and `save_checkpoints_steps`.
        folder: of the outputs.
        steps: optimizer steps.
        warmup_steps: over which the learning rate rises. They may be more than the
            steps, as in Google's code: the peak is then not reached.

    Raises:
        ExistingOutputError: the folder has checkpoints of another program.
    """
    from keras_bert.training.loop import Plan, Run

    _refuse_others(folder)
    reached = min(1.0, steps / warmup_steps) if warmup_steps else 1.0
    plan = Plan(
        steps=steps,
        learning_rate=args.learning_rate * reached,
        warmup_steps=min(steps, warmup_steps),
        bias_correction=False,
        checkpoint_every=args.save_checkpoints_steps,
        keep=1,
    )
    print(
        f"{steps:,} steps of {batches.batch_size} rows, {warmup_steps:,} warm-up "
        f"steps; checkpoints in {folder}"
    )
    run = Run(model, plan, folder / RUN, batches)
    run.on_save = lambda step, values: write_checkpoint(folder, step, run, values)
    run()


def _refuse_others(folder: Path) -> None:
    from keras_bert.checkpoints.formats import google

    if google.steps_in(folder) and not (folder / RUN).is_dir():
        raise ExistingOutputError(
            f"Expected a new --output_dir, or one of this script to resume. Received: "
            f"{folder} with checkpoints of another program. Pass the latest as "
            "--init_checkpoint, and choose another --output_dir."
        )


def write_checkpoint(
    folder: Path, step: int, run: Any, values: Mapping[str, np.ndarray]
) -> None:
    """Writes weights, moments and step of a run under Google's names.

    Args:
        folder: for `model.ckpt-<step>` and the `checkpoint` file.
        step: number of completed steps.
        run: a `keras_bert.training.loop.Run`.
        values: all of its variables, see `keras_bert.training.variables.numbered`.
    """
    from keras_bert import families
    from keras_bert.checkpoints.checkpoint import Tensor
    from keras_bert.checkpoints.formats import google
    from keras_bert.checkpoints.translation import translate, translate_optimizer
    from keras_bert.training.variables import numbered

    model, optimizer = run.model, run.optimizer
    names = {id(v): name for name, v in numbered(model, optimizer).items()}

    def tensor(variable: Any) -> Tensor:
        return Tensor.of(np.asarray(values[names[id(variable)]]))

    weights = {v.path: tensor(v) for v in model.weights}
    moments = zip(SLOTS, (optimizer._momentums, optimizer._velocities), strict=True)
    state = {
        f"{path}/{slot}": tensor(variable)
        for slot, variables in moments
        for path, variable in zip(optimizer.paths, variables, strict=True)
    }
    state["global_step"] = Tensor.of(np.array(step, "int64"))
    family, config = families.of(model.config), model.config
    parts = dict.fromkeys((*family.body(config), *model.parts_held))
    place = (family.rows_of(parts, config), "keras", google.FORMAT, config)
    tensors = translate(weights, *place) | translate_optimizer(state, *place)
    google.write_step(folder, step, tensors)


def write_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Writes `eval_results.txt`, sorted by name, and prints it.

    Args:
        folder: of the outputs.
        results: by name; NumPy numbers are written in their own precision.
    """
    from keras_bert.atomic_files import new_file

    text = "".join(f"{name} = {results[name]}\n" for name in sorted(results))
    print(text, end="")
    with new_file(folder / "eval_results.txt", overwrite=True) as partial:
        partial.write_text(text, encoding="utf-8")
