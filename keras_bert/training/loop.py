"""The training loop: steps, progress, evaluation, checkpoints, resume.

`fit` cannot resume within an epoch and fails under some strategies. This loop runs the
same steps on TensorFlow and on JAX, on one device or many, and its checkpoints hold all
state of a run, including the position in the data.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert.atomic_files import settle_all
from keras_bert.errors import CheckpointError, ConfigError, KerasBertError, choose
from keras_bert.models import PreTrainedModel
from keras_bert.models.lora import adapted_layers
from keras_bert.optimizers import scale_float16
from keras_bert.output_locks import writer_lock
from keras_bert.training.adversarial import table_index
from keras_bert.training.averaging import averaged_weights
from keras_bert.training.batches import (
    CheckedBatches,
    is_dataset,
    next_batch,
    records,
)
from keras_bert.training.checkpointing import Checkpoints, hand_over
from keras_bert.training.distillation import Distillation, DistillationLoss
from keras_bert.training.distribution import distribution
from keras_bert.training.early_stopping import BestEvaluation
from keras_bert.training.freezing import check_layers, matching, update_mask
from keras_bert.training.monitoring import (
    Log,
    Progress,
    kept_lines,
    matmul_limit,
    matmul_share,
    training_operations,
)
from keras_bert.training.plan import Plan, claim
from keras_bert.training.signals import Stopped, deferred_signals
from keras_bert.training.step import BatchLoss, add_up, as_floats, averages, log_name
from keras_bert.training.variables import load_optimizer_state

__all__ = ["Plan", "Run", "Stopped", "TrainingStopped"]

logger = logging.getLogger(__name__)


class TrainingStopped(KerasBertError, ArithmeticError):
    """The loss or the gradient is not finite."""


@dataclass
class Run:
    """One training run of a model, in its own directory.

    The directory holds `plan.json`, `metrics.jsonl`, `tensorboard/` and
    `checkpoints/`, and in the end the `adapter/` of a plan with LoRA. Called again with
    the same plan, a run resumes from the newest checkpoint; a completed run only
    restores the weights of the model.

    Args:
        model: the model, made in the scope of the plan's distribution; its weights are
            trained in place.
        plan: the hyper-parameters.
        directory: of the run.
        train: batches by number, see `keras_bert.training.batches`, or an infinite
            `tf.data.Dataset` of `(features, labels[, weights])`.
        heldout: batches to evaluate on, of either kind, or None.
        show_progress: display a progress line.
        optimizer_state: start with the state in this `optimizer.weights.h5`, counting
            steps from there, to continue a run of Google's code.
        before: directory of another run to start from, with its weights and optimizer
            state, counting steps from 0; see
            `keras_bert.training.checkpointing.hand_over`.
        score: returns further metrics of the model by name, such as the F1 of entities;
            called with every evaluation, for the log and `plan.monitor`.
        teacher: whose answers are learned too, for a plan with `distillation`.
        adapter_of: path or name of the checkpoint that the plan's adapters are for.
        on_save: called before a checkpoint is saved, with its step and all variables as
            `keras_bert.training.variables.numbered` names them.

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
    score: Callable[[], Mapping[str, float]] | None = None
    teacher: PreTrainedModel | None = None
    adapter_of: str = ""
    on_save: Callable[[int, Mapping[str, np.ndarray]], None] | None = None
    history: list[dict] = field(default_factory=list, init=False)

    def __call__(self) -> list[dict]:
        """Trains to the plan's last step, or until its patience is exhausted.

        Returns:
            The lines of `metrics.jsonl`.

        Raises:
            ConfigError: the directory holds a run with another plan, or the plan does
                not fit the model and the data.
            LockedOutputError: another process trains this run.
            CheckpointError: every checkpoint is corrupt.
            TrainingStopped: the loss is not finite; the message names the step, its
                batch and the last good checkpoint.
            Stopped: a KeyboardInterrupt by Ctrl-C or SIGTERM, after the step in
                progress and a checkpoint; a second signal stops at once, without.
        """
        self._make_steps()
        self.directory = Path(self.directory)
        if not self.writes:
            return self._run()
        self.directory.mkdir(parents=True, exist_ok=True)
        with writer_lock(self.directory, self.directory / ".lock"):
            settle_all(self.directory)
            return self._run()

    def _run(self) -> list[dict]:
        self._set_up()
        shown = self.show_progress and self.writes
        with (
            self._checkpoints,
            self._open_log() as self._log,
            Progress(self.plan.steps, self._start, shown) as self._progress,
            _activation_checkpointing(self.model, self.plan),
            deferred_signals() as received,
        ):
            for step in range(self._start + 1, self.plan.steps + 1):
                if self.ended_early:
                    break
                self._one_step(step)
                if self._steps.any_process_stopped(bool(received), step):
                    self._save(step)
                    raise Stopped(step, *received[:1])
        self._wait_for_others()
        plan = self.plan
        if plan.patience is not None:
            self._restore_best()
        self._steps.finish()
        if plan.lora and self.writes:
            self._save_adapter()
        return self.history

    # === Set-up ===

    def _make_steps(self) -> None:
        plan = self.plan
        scores = None if self.score is None else lambda: [plan.monitor]
        check(plan, self.model, self.heldout, scores)
        self._devices = distribution(plan.distribution, plan.model_shards)
        with self._devices.scope():
            adapt(self.model, plan)
            optimizer = plan.optimizer_for(self.model.config)
            self.optimizer = scale_float16(optimizer, self.model.dtype_policy)
        self._steps = self._devices.steps(
            self.batch_loss(),
            self.optimizer,
            plan.gradient_accumulation_steps,
        )

    def batch_loss(self) -> BatchLoss:
        """Returns what the run learns.

        Raises:
            ConfigError: the model, its teacher and the plan do not fit together.
        """
        given, options = self.plan.distillation, self.plan.loss_options
        if (given is None) != (self.teacher is None):
            raise ConfigError(
                "Expected a teacher with distillation in the plan, and none without. "
                f"Received: distillation={given} with teacher={self.teacher}."
            )
        if given is None or self.teacher is None:
            return BatchLoss(self.model, **options)
        distillation = Distillation(**given)
        return DistillationLoss(self.model, self.teacher, distillation, **options)

    def _set_up(self) -> None:
        plan = self.plan
        if self.writes:
            claim(self.directory, plan, self.model.config)
        self._schedule = plan.learning_rate_schedule()
        self._limit = matmul_limit(self.model.dtype_policy.compute_dtype)
        if self.before is not None:
            if self.writes:
                hand_over(self.before, self.directory)
            self._wait_for_others()
        self._restore()
        self.history = kept_lines(self.directory / "metrics.jsonl", self._start)
        train = self._checked(self.train)
        self._batches = self._steps.feed(train, self._start, plan.steps)
        self._began = time.monotonic()
        self._time_before = self.history[-1]["time"] if self.history else 0.0

    def _checked(self, source: Any) -> Any:
        if is_dataset(source):
            return source
        return CheckedBatches(source, self.model.checked_batch)

    def _restore(self) -> None:
        """Restores the newest checkpoint, or sets the state of step 0."""
        folder = self.directory / "checkpoints"
        self._checkpoints = Checkpoints(folder, self.plan.keep, self.writes)
        notes: Mapping[str, Any] = {}
        self._start = 0
        if saved := self._checkpoints.newest():
            self._steps.load(saved.arrays)
            self._steps.load_position(saved.path, self.train)
            self._start, notes = saved.step, saved.notes
            logger.info("Resuming from %s.", saved.path)
        elif self.optimizer_state is not None:
            with self._devices.scope():
                self._start = load_optimizer_state(self.optimizer, self.optimizer_state)
            self._steps.take_values()
        # Sums of the steps since the last line of the log.
        self._pending: list[dict] = notes.get("pending", [])
        self._updates: float = notes.get("updates", self._updates_done())
        self._best = BestEvaluation(self.plan, notes)
        self._frozen: int | None = -1  # unknown
        self._last = time.monotonic() - notes.get("seconds", 0.0)

    def _wait_for_others(self) -> None:
        """Waits for all processes, so that the files of one are visible to all."""
        self._steps.any_process_stopped(False, 0)

    def _open_log(self) -> Any:
        if not self.writes:
            return nullcontext()
        return Log(self.directory, self.history, self._start)

    # === Steps ===

    def _one_step(self, step: int) -> None:
        plan, last = self.plan, step == self.plan.steps
        self._freeze(step)
        batch = next_batch(self._batches, step)
        sums = self._steps.train(batch)
        operations = training_operations(self.model, self._steps.shapes(batch))
        self._pending.append({**sums, "operations": (operations, 1.0)})
        self._progress.update()
        if _due(step, plan.log_every) or last:
            self._write_train_line(step)
        better = False
        if self.heldout is not None and (_due(step, plan.evaluate_every) or last):
            better = self._evaluate(step) and plan.keep_best
        if self.ended_early and not last:
            self._end_early(step)
        if _due(step, plan.checkpoint_every) or last or better or self.ended_early:
            self._save(step)

    def _freeze(self, step: int) -> None:
        """Updates the mask of frozen weights, if it changes with this step."""
        config = self.model.config
        layers = self.plan.layers_frozen(step, config.num_blocks)
        if layers != self._frozen:
            mask = update_mask(self.optimizer, config, layers, self.plan.freeze or ())
            self._steps.set_value(self.optimizer.update_mask, mask)
            self._frozen = layers

    def _write_train_line(self, step: int) -> None:
        self._refuse_not_finite(step)
        seconds, self._last = time.monotonic() - self._last, time.monotonic()
        seconds = max(seconds, 1e-9)
        count, sums = len(self._pending), add_up(self._pending)
        self._pending.clear()
        (tokens, _), (operations, _) = sums.pop("tokens"), sums.pop("operations")
        line = averages(sums)
        line |= {
            "learning_rate": float(self._schedule(step - 1)),
            "tokens_per_second": tokens / seconds,
            **matmul_share(operations / seconds / self._steps.devices, self._limit),
        }
        self._write(step, "train", line | self._scaling(count))
        self._progress.show(self.history[-1])

    def _scaling(self, steps: int) -> dict[str, float]:
        """Returns the loss scale, and how many of the last steps were skipped."""
        if self.optimizer.loss_scale is None:
            return {}
        before, self._updates = self._updates, self._updates_done()
        return {
            "loss_scale": float(self._steps.value(self.optimizer.loss_scale)),
            "skipped_steps": round(steps - (self._updates - before)),
        }

    def _updates_done(self) -> float:
        """Counts the updates of weights that are never frozen; skipped steps do not."""
        return float(np.max(self._steps.value(self.optimizer.update_counts)))

    def _evaluate(self, step: int) -> bool:
        """Writes a held-out line and returns whether it is the best so far."""
        self._pending = [as_floats(sums) for sums in self._pending]  # waits for steps
        began = time.monotonic()
        with self._steps.averaged() if self._averages else nullcontext():
            batches = self._steps.heldout(self._checked(self.heldout))
            sums = add_up([self._steps.evaluate(batch) for batch in batches])
            scores = self._scores()
        del sums["tokens"]
        line = averages(sums)
        line = {"loss": self._steps.batch_loss.total(line), **line}
        if "mlm_loss" in line:
            line["mlm_perplexity"] = math.exp(min(line["mlm_loss"], 700.0))
        line = {**scores, **line}
        choose("monitor", self.plan.monitor, sorted(line))
        self._write(step, "heldout", line)
        self._last += time.monotonic() - began  # evaluation is not training time
        return self._best.improves(step, line[self.plan.monitor])

    def _scores(self) -> Mapping[str, float]:
        """Returns the metrics of `score`, of the weights that are evaluated."""
        if self.score is None:
            return {}
        self._steps.finish()  # on JAX the model does not have them
        return self.score()

    @property
    def ended_early(self) -> bool:
        """Whether the plan's patience is exhausted."""
        return self._best.patience_exhausted

    def _end_early(self, step: int) -> None:
        if self._pending:
            self._write_train_line(step)
        logger.warning(
            "Stopping early at step %d of %d: no improvement in the last %d "
            "evaluations over %s %.4g at step %d, whose weights are restored.",
            *(step, self.plan.steps, self._best.waited),
            *(self.plan.monitor, self._best.value, self._best.step),
        )

    @property
    def result(self) -> dict:
        """The line of the log about the weights that the model has in the end."""
        if self.plan.patience is None:
            return self.history[-1]
        lines = [line for line in self.history if line["split"] == "heldout"]
        return next(line for line in lines if line["step"] == self._best.step)

    def _write(self, step: int, split: str, line: dict) -> None:
        seconds = self._time_before + time.monotonic() - self._began
        line = {"step": step, "split": split, **line, "time": round(seconds, 3)}
        self.history.append(line)
        if self._log is not None:
            self._log.write(line)

    # === Checkpoints ===

    def _save(self, step: int) -> None:
        self._refuse_not_finite(step)
        self._pending = [as_floats(sums) for sums in self._pending]
        notes = {
            "pending": self._pending,
            "updates": self._updates,
            "seconds": time.monotonic() - self._last,
            **self._best.notes(step),
        }
        state, position = self._steps.state(), self._steps.save_position
        if self.on_save is not None and self.writes:
            self.on_save(step, state)
        self._checkpoints.save(step, state, notes, position, self._best.step)

    def _restore_best(self) -> None:
        """Restores the best weights, and the optimizer state of the same step."""
        if (path := self._checkpoints.path(self._best.step)).is_dir():
            self._steps.load(self._checkpoints.read(self._best.step).arrays)
        else:
            logger.warning("%s is missing; the model keeps its last weights.", path)

    def _save_adapter(self) -> None:
        path, base = self.directory / "adapter", self.adapter_of
        try:
            with self.weights_to_keep():
                self.model.save_adapter(path, base=base, overwrite=True)
        except CheckpointError as error:
            logger.warning("%s is not written. %s", path, error)

    def _refuse_not_finite(self, step: int) -> None:
        """Checks the steps since the last line of the log, up to this one."""
        for number, sums in enumerate(self._pending, step - len(self._pending) + 1):
            # Also the gradient: the loss shows broken weights one step later.
            for name in ("loss", "grad_norm"):
                if not math.isfinite(value := float(sums[name][0])):
                    raise TrainingStopped(self._not_finite(number, name, value))

    def _not_finite(self, step: int, name: str, value: float) -> str:
        """Returns the message, and lists all records in `not_finite.json`."""
        checkpoint, found = self._checkpoints.latest(), records(self.train, step)
        shown = f", records {', '.join(found[:3])}" if found else ""
        if self.writes:
            report = {"step": step, name: str(value), "records": found}
            text = json.dumps(report, indent=2) + "\n"
            (self.directory / "not_finite.json").write_text(text, encoding="utf-8")
        return (
            f"Expected a finite {name}. Received: {value} at step {step}, in batch "
            f"{step} of the data{shown}"
            f"{' … (all in not_finite.json)' if found[3:] else ''}. The last good "
            f"checkpoint is {checkpoint}. Use a lower learning rate than "
            f"{self.plan.learning_rate} or a longer warm-up; in a dataset, also look "
            "for ids, positions and labels out of range, which make the loss NaN."
        )

    @property
    def writes(self) -> bool:
        """Whether this process writes the run's files; of several, one does."""
        return self._steps.writes

    @property
    def _averages(self) -> bool:
        return self.plan.ema_momentum is not None

    def weights_to_keep(self) -> AbstractContextManager:
        """Returns a context in which the model has its averaged weights, if any.

        Save or export the trained model inside.
        """
        return averaged_weights(self.optimizer) if self._averages else nullcontext()


def adapt(model: PreTrainedModel, plan: Plan) -> None:
    """Adds the adapters of a plan to a model, unless it has them.

    Args:
        model: to train, made in the scope of the plan's distribution.
        plan: the hyper-parameters.

    Raises:
        ConfigError: the model has other adapters, or cannot have these.
    """
    if plan.lora and {x.lora_rank for x in adapted_layers(model)} != {plan.lora}:
        model.add_lora(plan.lora, **plan.lora_options)


def check(
    plan: Plan,
    model: PreTrainedModel,
    heldout: Any,
    scores: Callable[[], Iterable[str]] | None = None,
) -> None:
    """Raises an error if a plan does not fit its model or data, as `Run` does.

    Args:
        plan: the hyper-parameters.
        model: to train.
        heldout: data to evaluate on, or None.
        scores: returns the names of further metrics, see `Run.score`.

    Raises:
        ConfigError: the plan freezes layers or weights that are not there, has options
            that the loss does not have, or has patience and there is nothing to
            evaluate on.
        UnknownNameError: the plan monitors a metric that evaluations do not have.
    """
    config = model.config
    check_layers(config, plan.layers_frozen(1, config.num_blocks))
    matching(plan.freeze or (), [v.path for v in model.trainable_variables])
    if plan.patience is not None and heldout is None:
        raise ConfigError(
            "Expected held-out data with patience, which counts evaluations. "
            f"Received: none, with patience={plan.patience}."
        )
    if plan.fgm:
        table_index(model)
    batch_loss = BatchLoss(model, **plan.loss_options)
    names = [log_name(output, "loss") for output in batch_loss.losses]
    names += [log_name(output, "accuracy") for output in batch_loss.accuracies]
    known = {"loss", *names}
    if scores is not None and plan.monitor not in known:
        known |= {*scores()}
    choose("monitor", plan.monitor, sorted(known))


@contextmanager
def _activation_checkpointing(model: PreTrainedModel, plan: Plan) -> Iterator[None]:
    """Turns on activation checkpointing inside, if the plan asks for it."""
    encoder = model.encoder
    before = encoder.activation_checkpointing
    encoder.activation_checkpointing = before or plan.activation_checkpointing
    try:
        yield
    finally:
        encoder.activation_checkpointing = before


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
