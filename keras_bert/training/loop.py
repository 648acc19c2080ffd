"""The training loop: steps, progress, evaluation, checkpoints, resume.

`fit` cannot resume inside an epoch and fails under some strategies; this loop
runs the same steps on TensorFlow and on JAX, on one device or many, and its
checkpoints hold everything a run depends on, the position in the data included.
"""

import json
import logging
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert.errors import ConfigError, KerasBertError, choose
from keras_bert.models import PreTrainedModel
from keras_bert.optimizers import scale_float16
from keras_bert.training.averaging import averaged_weights
from keras_bert.training.batches import next_batch, records
from keras_bert.training.checkpointing import Checkpoints
from keras_bert.training.distribution import distribution
from keras_bert.training.freezing import check_layers, update_mask
from keras_bert.training.monitoring import (
    Log,
    Progress,
    kept_lines,
    matmul_limit,
    training_operations,
)
from keras_bert.training.plan import Plan, claim
from keras_bert.training.recipes import hand_over
from keras_bert.training.step import Objective, averages, log_name
from keras_bert.training.variables import load_optimizer_state

__all__ = ["Plan", "Run", "Stopped", "TrainingStopped"]

logger = logging.getLogger(__name__)


class TrainingStopped(KerasBertError, ArithmeticError):
    """The loss is no longer a number."""


class Stopped(KeyboardInterrupt):
    """A signal stopped the run after a step, and a checkpoint was written.

    Args:
        step: steps done.
        number: of the signal; another process may have received it.
    """

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        super().__init__(
            f"after step {step}, which is saved; the same command goes on from it"
        )
        self.step, self.number = step, number

    @property
    def exit_status(self) -> int:
        """Of a command: 0 after SIGTERM, by which a machine is taken away."""
        return 0 if self.number == signal.SIGTERM else 130


@dataclass
class Run:
    """One training run of a model, in a directory of its own.

    The directory holds `plan.json`, `metrics.jsonl`, `tensorboard/` and
    `checkpoints/`. Called again with the same plan it goes on from the newest
    checkpoint; a run that has ended only gives the model its weights again.

    Args:
        model: the model, made in the scope of the plan's distribution; its weights are
            trained in place.
        plan: the numbers.
        directory: where the run is kept.
        train: batches by number, see `keras_bert.training.batches`, or tf.data batches
            `(features, labels[, weights])` without end.
        heldout: batches to evaluate on, of either kind, or None.
        show_progress: draw a progress line.
        optimizer_state: begin with the state in this `optimizer.weights.h5` and go on
            counting steps where it was, as a run of Google's goes on.
        before: directory of another run to begin with: with its weights and its
            optimizer's state, counting steps from 0; see
            `keras_bert.training.recipes.hand_over`.

    Example:
        >>> run = Run(model, Plan(steps=1000), "runs/x", train)  # doctest: +SKIP
        >>> history = run()  # doctest: +SKIP
    """

    model: PreTrainedModel
    plan: Plan
    directory: Path
    train: Any
    heldout: Any = None
    show_progress: bool = True
    optimizer_state: str | Path | None = None
    before: str | Path | None = None
    history: list[dict] = field(default_factory=list, init=False)

    def __call__(self) -> list[dict]:
        """Trains to the plan's last step, or until its patience is at an end.

        Returns:
            The lines of `metrics.jsonl`.

        Raises:
            ConfigError: the directory holds a run with another plan, or the plan does
                not fit the model and the data.
            CheckpointError: every checkpoint is damaged.
            TrainingStopped: the loss is not finite; the message names the step, its
                batch and the last good checkpoint.
            Stopped: a KeyboardInterrupt by Ctrl-C or SIGTERM, after the step in hand
                and a checkpoint; a second one stops at once, without.
        """
        self._set_up()
        shown = self.show_progress and self._steps.writes
        with (
            self._checkpoints,
            self._open_log() as self._log,
            Progress(self.plan.steps, self._start, shown) as self._progress,
            _activation_checkpointing(self.model, self.plan),
            _stop_signals() as received,
        ):
            for step in range(self._start + 1, self.plan.steps + 1):
                if self.ended_early:
                    break
                self._one_step(step)
                if self._steps.agree(bool(received), step):
                    self._save(step)
                    raise Stopped(step, *received[:1])
        self._wait_for_others()
        if self.plan.patience is not None:
            self._take_best()
        self._steps.finish()
        return self.history

    # === Set-up ===

    def _set_up(self) -> None:
        plan, self.directory = self.plan, Path(self.directory)
        check(plan, self.model, self.heldout)
        self._devices = distribution(plan.distribution, plan.model_shards)
        with self._devices.scope():
            optimizer = plan.optimizer_for(self.model.config)
            self.optimizer = scale_float16(optimizer, self.model.policy)
        parts = plan.gradient_accumulation_steps
        self._steps = self._devices.steps(self.model, self.optimizer, parts)
        if self._steps.writes:
            self.directory.mkdir(parents=True, exist_ok=True)
            claim(self.directory, plan, self.model.config)
        self._schedule = plan.schedule_of_rates()
        self._limit = matmul_limit(self.model.policy.compute_dtype)
        if self.before is not None:
            if self._steps.writes:
                hand_over(self.before, self.directory)
            self._wait_for_others()
        self._restore()
        self.history = kept_lines(self.directory / "metrics.jsonl", self._start)
        self._batches = self._steps.feed(self.train, self._start, plan.steps)
        self._began = time.monotonic()
        self._before = self.history[-1]["time"] if self.history else 0.0

    def _restore(self) -> None:
        """Goes to where the newest checkpoint is, or to the beginning."""
        folder = self.directory / "checkpoints"
        self._checkpoints = Checkpoints(folder, self.plan.keep, self._steps.writes)
        notes: Mapping[str, Any] = {}
        self._start = 0
        if saved := self._checkpoints.newest():
            self._steps.load(saved.arrays)
            self._steps.load_position(saved.path, self.train)
            self._start, notes = saved.step, saved.notes
            logger.info("Going on from %s.", saved.path)
        elif self.optimizer_state is not None:
            with self._devices.scope():
                self._start = load_optimizer_state(self.optimizer, self.optimizer_state)
            self._steps.take_values()
        # What the next line of the log will be made of.
        self._pending: list[dict] = notes.get("pending", [])
        self._updates: float = notes.get("updates", self._updates_done())
        # The best step and its number, and the evaluations since.
        self._best: dict = notes.get("best", {})
        self._waited: int = notes.get("waited", 0)
        self._frozen: int | None = -1  # not known yet
        self._last = time.monotonic() - notes.get("seconds", 0.0)

    def _wait_for_others(self) -> None:
        """Waits for all processes; what one of them wrote is then there."""
        self._steps.agree(False, 0)

    def _open_log(self) -> Any:
        if not self._steps.writes:
            return nullcontext()
        return Log(self.directory, self.history, self._start)

    # === Steps ===

    def _one_step(self, step: int) -> None:
        self._freeze(step)
        batch = next_batch(self._batches, step)
        sums = self._steps.train(batch)
        operations = training_operations(self.model, self._steps.shapes(batch))
        self._pending.append({**sums, "operations": (operations, 1.0)})
        self._progress.update()
        last = step == self.plan.steps
        if _due(step, self.plan.log_every) or last:
            self._write_train_line(step)
        better = False
        if self.heldout is not None and (_due(step, self.plan.evaluate_every) or last):
            better = self._evaluate(step) and self.plan.keep_best
        if self.ended_early and not last:
            self._end_early(step)
        if _due(step, self.plan.checkpoint_every) or last or better or self.ended_early:
            self._save(step)

    def _freeze(self, step: int) -> None:
        """Says which weights move in a step, if they are not those of the last."""
        if (layers := self._layers_frozen(step)) != self._frozen:
            values = update_mask(self.optimizer, self.model.config, layers)
            self._steps.set_value(self.optimizer.update_mask, values)
            self._frozen = layers

    def _layers_frozen(self, step: int) -> int | None:
        return self.plan.layers_frozen(step, self.model.config.num_hidden_layers)

    def _write_train_line(self, step: int) -> None:
        self._refuse_not_finite(step)
        seconds, self._last = time.monotonic() - self._last, time.monotonic()
        seconds = max(seconds, 1e-9)
        count, sums = len(self._pending), _add_up(self._pending)
        self._pending.clear()
        (tokens, _), (operations, _) = sums.pop("tokens"), sums.pop("operations")
        line = averages(sums)
        line |= {
            "learning_rate": float(self._schedule(step - 1)),
            "tokens_per_second": tokens / seconds,
            "matmul_share": operations / seconds / self._limit / self._steps.devices,
        }
        self._write(step, "train", line | self._scaling(count))
        self._progress.show(self.history[-1])

    def _scaling(self, steps: int) -> dict[str, float]:
        """Returns the loss' scale, and how many of the last steps were skipped."""
        if self.optimizer.loss_scale is None:
            return {}
        before, self._updates = self._updates, self._updates_done()
        return {
            "loss_scale": float(self._steps.value(self.optimizer.loss_scale)),
            "skipped_steps": round(steps - (self._updates - before)),
        }

    def _updates_done(self) -> float:
        """Counts the updates of weights that are never frozen; skipped steps lack."""
        return float(np.max(self._steps.value(self.optimizer.update_counts)))

    def _evaluate(self, step: int) -> bool:
        """Writes a held-out line and says whether it is the best so far."""
        self._pending = [_floats(sums) for sums in self._pending]  # waits for steps
        began, averaged = time.monotonic(), self.plan.ema_momentum is not None
        with self._steps.averaged() if averaged else nullcontext():
            sums = _add_up(
                [self._steps.evaluate(b) for b in self._steps.heldout(self.heldout)]
            )
        del sums["tokens"]
        line = averages(sums)
        line = {"loss": self._steps.objective.total(line), **line}
        if "mlm_loss" in line:
            line["mlm_perplexity"] = math.exp(min(line["mlm_loss"], 700.0))
        self._write(step, "heldout", line)
        self._last += time.monotonic() - began  # evaluation is not training time
        return self._is_best(step, line[self.plan.monitor])

    def _is_best(self, step: int, value: float) -> bool:
        name = self.plan.monitor
        sign = 1 if name.endswith("accuracy") else -1
        before = self._best.get(name, math.nan)
        worse = not sign * (value - before) > self.plan.min_delta
        if worse and math.isfinite(before):
            self._waited += 1
            return False
        self._best, self._waited = {"step": step, name: value}, 0
        return True

    @property
    def ended_early(self) -> bool:
        """Whether the plan's patience is at an end."""
        return self.plan.patience is not None and self._waited >= self.plan.patience

    def _end_early(self, step: int) -> None:
        if self._pending:
            self._write_train_line(step)
        logger.warning(
            "Ending at step %d of %d: the last %d evaluations were not better than "
            "%s %.4g at step %d, whose weights the model gets.",
            *(step, self.plan.steps, self._waited),
            *(self.plan.monitor, self._best[self.plan.monitor], self._best["step"]),
        )

    @property
    def result(self) -> dict:
        """The line of the log about the weights that the model has got."""
        if self.plan.patience is None:
            return self.history[-1]
        lines = [line for line in self.history if line["split"] == "heldout"]
        return next(line for line in lines if line["step"] == self._best["step"])

    def _write(self, step: int, split: str, line: dict) -> None:
        seconds = self._before + time.monotonic() - self._began
        line = {"step": step, "split": split, **line, "time": round(seconds, 3)}
        self.history.append(line)
        if self._log is not None:
            self._log.write(line)

    # === Checkpoints ===

    def _save(self, step: int) -> None:
        self._refuse_not_finite(step)
        self._pending = [_floats(sums) for sums in self._pending]
        notes = {
            "pending": self._pending,
            "updates": self._updates,
            "seconds": time.monotonic() - self._last,
            "best": self._best,
            "waited": self._waited,
        }
        if self.plan.patience is not None:
            notes["chosen"] = self._best.get("step", step)
        state, best = self._steps.state(), self._best.get("step")
        position = self._steps.save_position
        self._checkpoints.save(step, state, notes, position, best)

    def _take_best(self) -> None:
        """Gives the model its best weights, and the optimizer what belongs to them."""
        if (path := self._checkpoints.path(self._best["step"])).is_dir():
            self._steps.load(self._checkpoints.read(self._best["step"]).arrays)
        else:
            logger.warning("%s is gone; the model keeps its last weights.", path)

    def _refuse_not_finite(self, step: int) -> None:
        """Looks at the steps up to this one that no line has been written of."""
        for number, sums in enumerate(self._pending, step - len(self._pending) + 1):
            # The gradient too: the loss sees broken weights one step later.
            for name in ("loss", "grad_norm"):
                if not math.isfinite(value := float(sums[name][0])):
                    raise TrainingStopped(self._account_of(number, name, value))

    def _account_of(self, step: int, name: str, value: float) -> str:
        """Says what happened, and lists all records in `not_finite.json`."""
        checkpoint, found = self._checkpoints.latest(), records(self.train, step)
        shown = f", records {', '.join(found[:3])}" if found else ""
        if self._steps.writes:
            account = {"step": step, name: str(value), "records": found}
            text = json.dumps(account, indent=2) + "\n"
            (self.directory / "not_finite.json").write_text(text, encoding="utf-8")
        return (
            f"The {name} at step {step} is {value}, in batch {step} of the data"
            f"{shown}{' … (all in not_finite.json)' if found[3:] else ''}. The last "
            f"good checkpoint is {checkpoint}. Lower the learning rate "
            f"({self.plan.learning_rate}) or lengthen the warm-up."
        )

    @property
    def writes(self) -> bool:
        """Whether this process writes the run's files; of several, one does."""
        return self._steps.writes

    def weights_to_keep(self) -> AbstractContextManager:
        """Returns a context in which the model has its averaged weights, if any.

        Save or export the trained model inside.
        """
        averaged = self.plan.ema_momentum is not None
        return averaged_weights(self.optimizer) if averaged else nullcontext()


def check(plan: Plan, model: PreTrainedModel, heldout: Any) -> None:
    """Refuses a plan that does not fit its model or data, as a `Run` does.

    Args:
        plan: the numbers.
        model: to train.
        heldout: what to evaluate on, or None.

    Raises:
        ConfigError: it freezes more layers than there are, or counts evaluations where
            there is nothing to evaluate on.
        UnknownNameError: it monitors a number that evaluations do not have.
    """
    config = model.config
    check_layers(config, plan.layers_frozen(1, config.num_hidden_layers))
    if plan.patience is not None and heldout is None:
        raise ConfigError(
            "Expected held-out data with patience, which counts evaluations. "
            f"Received: none, with patience={plan.patience}."
        )
    objective = Objective(model)
    names = [log_name(output, "loss") for output in objective.losses]
    names += [log_name(output, "accuracy") for output in objective.accuracies]
    choose("monitor", plan.monitor, sorted({"loss", *names}))


@contextmanager
def _activation_checkpointing(model: PreTrainedModel, plan: Plan) -> Iterator[None]:
    """Has a model compute its layers twice inside, if that is the plan."""
    encoder = model.encoder
    before = encoder.activation_checkpointing
    encoder.activation_checkpointing = before or plan.activation_checkpointing
    try:
        yield
    finally:
        encoder.activation_checkpointing = before


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collects Ctrl-C and SIGTERM: in the midst of a step, state is not whole."""
    received: list[int] = []

    def receive(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        logger.warning("Stopping after this step; the same command goes on from it.")

    # Python gives signals to its main thread alone.
    main = threading.current_thread() is threading.main_thread()
    signals = (signal.SIGINT, signal.SIGTERM) if main else ()
    before = {number: signal.signal(number, receive) for number in signals}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _floats(sums: Mapping) -> dict:
    return {name: (float(top), float(bottom)) for name, (top, bottom) in sums.items()}


def _add_up(results: list[Mapping]) -> dict:
    """Adds the sums of several steps, quantity by quantity."""
    results = [_floats(sums) for sums in results]
    return {
        name: tuple(sum(r[name][part] for r in results) for part in (0, 1))
        for name in results[0]
    }
