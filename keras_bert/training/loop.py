"""The training loop: steps, progress, evaluation, checkpoints, resume.

`fit` cannot resume inside an epoch and fails under some strategies; this loop
runs the same step on one device or under a `tf.distribute` strategy, and its
checkpoints hold everything a run depends on, the position in the data included.
"""

import json
import logging
import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from keras_bert.errors import ConfigError, InputError, KerasBertError
from keras_bert.models import BertPreTrainedModel
from keras_bert.training.accumulation import gradients
from keras_bert.training.optimizers import AdamW, scale_float16
from keras_bert.training.schedules import LinearWarmupDecay
from keras_bert.training.step import Objective, averages

logger = logging.getLogger(__name__)


class TrainingStopped(KerasBertError, ArithmeticError):
    """The loss is no longer a number."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The numbers of a training run.

    Args:
        steps: optimizer steps.
        learning_rate: the highest rate.
        warmup_steps: steps over which the rate rises to it.
        weight_decay: see `AdamW`.
        bias_correction: see `AdamW`; Google's optimizer has none.
        clip_norm: largest global norm of the gradient.
        gradient_accumulation_steps: parts a batch is computed in, to save memory;
            the steps are the same but for rounding.
        log_every: steps between lines of the log; 0: only at the end.
        evaluate_every: steps between evaluations on held-out data; 0: only at the end.
        checkpoint_every: steps between checkpoints; one is written at the end too.
        keep: checkpoints kept.

    Raises:
        ConfigError: the numbers contradict each other.
    """

    steps: int
    learning_rate: float = 1e-4
    warmup_steps: int = 0
    weight_decay: float = 0.01
    bias_correction: bool = True
    clip_norm: float | None = 1.0
    gradient_accumulation_steps: int = 1
    log_every: int = 10
    evaluate_every: int = 0
    checkpoint_every: int = 1000
    keep: int = 2

    def __post_init__(self):
        if self.steps < 1:
            raise ConfigError(f"Expected steps of 1 or more. Received: {self.steps}.")
        if self.gradient_accumulation_steps < 1:
            raise ConfigError(
                "Expected gradient_accumulation_steps of 1 or more. "
                f"Received: {self.gradient_accumulation_steps}."
            )
        if not 0 <= self.warmup_steps <= self.steps:
            raise ConfigError(
                f"Expected warmup_steps from 0 to steps={self.steps}. "
                f"Received: {self.warmup_steps}."
            )

    def schedule(self) -> LinearWarmupDecay:
        """Returns the learning rate as a function of the steps done."""
        return LinearWarmupDecay(self.learning_rate, self.steps, self.warmup_steps)

    def optimizer(self) -> AdamW:
        """Returns the optimizer this plan describes."""
        return AdamW(
            self.schedule(),
            weight_decay=self.weight_decay,
            bias_correction=self.bias_correction,
            clip_norm=self.clip_norm,
        )


@dataclass
class Run:
    """One training run of a model, in a directory of its own.

    The directory holds `plan.json`, `metrics.jsonl`, `tensorboard/` and
    `checkpoints/`. Called again with the same plan it goes on from the newest
    checkpoint.

    Args:
        model: the model; its weights are trained in place.
        plan: the numbers.
        directory: where the run is kept.
        train: tf.data batches `(features, labels[, weights])`, without end.
        heldout: batches to evaluate on, or None.
        show_progress: draw a progress line.

    Example:
        >>> run = Run(model, Plan(steps=1000), "runs/x", train)  # doctest: +SKIP
        >>> history = run()  # doctest: +SKIP
    """

    model: BertPreTrainedModel
    plan: Plan
    directory: Path
    train: Any
    heldout: Any = None
    show_progress: bool = True
    history: list[dict] = field(default_factory=list, init=False)

    def __call__(self) -> list[dict]:
        """Trains to the plan's last step.

        Returns:
            The lines of `metrics.jsonl`.

        Raises:
            ConfigError: the directory holds a run with another plan.
            TrainingStopped: the loss is not finite; the message names the step and
                the last good checkpoint.
            KeyboardInterrupt: stopped by Ctrl-C or SIGTERM, after the step in hand
                and a checkpoint; a second one stops at once, without.
        """
        self._set_up()
        with self._log, self._bar() as bar, _stop_signals() as received:
            for step in range(self._start + 1, self.plan.steps + 1):
                self._one_step(step, bar)
                if received:
                    self._save(step)
                    raise KeyboardInterrupt(f"after step {step}, which is saved")
        return self.history

    # === Set-up ===

    def _set_up(self) -> None:
        import tensorflow as tf

        self.directory = Path(self.directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._claim()
        strategy = tf.distribute.get_strategy()
        with strategy.scope():
            self.optimizer = scale_float16(self.plan.optimizer(), self.model.policy)
            self.optimizer.build(self.model.trainable_variables)
        self._objective = Objective(self.model)
        self._train_step = _train_step(
            strategy,
            self._objective,
            self.optimizer,
            self.plan.gradient_accumulation_steps,
        )
        self._evaluate_step = _evaluate_step(strategy, self._objective)
        self._schedule = self.plan.schedule()
        self._start = self._restore(strategy)
        self.history = _kept_lines(self._metrics_file, self._start)
        self._log = _Log(self._metrics_file, self.directory / "tensorboard")
        self._began = time.monotonic()
        self._before = self.history[-1]["time"] if self.history else 0.0

    def _claim(self) -> None:
        """Writes the plan, or checks that the run already here has the same."""
        file, plan = self.directory / "plan.json", asdict(self.plan)
        config = self.model.config.to_dict()
        mine = json.dumps({"plan": plan, "config": config}, indent=2, sort_keys=True)
        if not file.exists():
            file.write_text(mine + "\n", encoding="utf-8")
        elif file.read_text(encoding="utf-8").rstrip("\n") != mine:
            raise ConfigError(
                f"{self.directory} holds a run with another plan or model. Choose "
                "another output directory, or remove that one to start again."
            )

    def _restore(self, strategy: Any) -> int:
        """Restores the newest checkpoint and returns its step, or 0."""
        import tensorflow as tf

        # What the next line of the log will be made of, as JSON.
        self._since_line = tf.Variable('{"pending": [], "seconds": 0.0}')
        parts = {
            "model": dict(_numbered(self.model.variables)),
            "optimizer": dict(_numbered(self.optimizer.variables)),
            "since_line": self._since_line,
        }
        if strategy.num_replicas_in_sync == 1:
            self._iterator = parts["iterator"] = iter(self.train)
        checkpoint = tf.train.Checkpoint(**parts)
        folder = self.directory / "checkpoints"
        self._manager = tf.train.CheckpointManager(checkpoint, folder, self.plan.keep)
        if newest := self._manager.latest_checkpoint:
            checkpoint.restore(newest).assert_consumed()
            logger.info("Going on from %s.", newest)
        since_line = json.loads(self._since_line.numpy())
        self._pending: list[dict] = since_line["pending"]
        self._last = time.monotonic() - since_line["seconds"]
        start = int(self.optimizer.iterations.numpy())
        if strategy.num_replicas_in_sync > 1:
            # A distributed iterator cannot be saved; the data is read up to here.
            rest = strategy.experimental_distribute_dataset(self.train.skip(start))
            self._iterator = iter(rest)
        return start

    def _save(self, step: int) -> None:
        self._refuse_not_finite(step)
        self._pending = [_floats(sums) for sums in self._pending]
        seconds = time.monotonic() - self._last
        since_line = {"pending": self._pending, "seconds": seconds}
        self._since_line.assign(json.dumps(since_line))
        self._manager.save(checkpoint_number=step)

    def _refuse_not_finite(self, step: int) -> None:
        """Looks at the steps up to this one that no line has been written of."""
        for number, sums in enumerate(self._pending, step - len(self._pending) + 1):
            # The gradient too: the loss sees broken weights one step later.
            for name in ("loss", "grad_norm"):
                if not math.isfinite(value := float(sums[name][0])):
                    raise TrainingStopped(
                        f"The {name} at step {number} is {value}. The last good "
                        f"checkpoint is {self._manager.latest_checkpoint}. Lower the "
                        f"learning rate ({self.plan.learning_rate}) or lengthen the "
                        "warm-up."
                    )

    @property
    def _metrics_file(self) -> Path:
        return self.directory / "metrics.jsonl"

    def _bar(self) -> Any:
        from tqdm import tqdm

        return tqdm(
            total=self.plan.steps,
            initial=self._start,
            unit="step",
            disable=not self.show_progress,
            dynamic_ncols=True,
            smoothing=0,  # an evaluation must not look like a slow step
        )

    # === Steps ===

    def _one_step(self, step: int, bar: Any) -> None:
        self._pending.append(self._train_step(self._next_batch(step)))
        bar.update()
        last = step == self.plan.steps
        if _due(step, self.plan.log_every) or last:
            self._write_train_line(step, bar)
        if self.heldout is not None and (_due(step, self.plan.evaluate_every) or last):
            self._write_heldout_line(step)
        if _due(step, self.plan.checkpoint_every) or last:
            self._save(step)

    def _next_batch(self, step: int) -> Any:
        batch = next(self._iterator, None)
        if batch is None:
            raise InputError(
                f"Expected batches without end; the data ended at step {step}. "
                "Repeat the dataset."
            )
        return batch

    def _write_train_line(self, step: int, bar: Any) -> None:
        self._refuse_not_finite(step)
        seconds, self._last = time.monotonic() - self._last, time.monotonic()
        sums = _add_up(self._pending)
        self._pending.clear()
        tokens, _ = sums.pop("tokens")
        line = averages(sums)
        line |= {
            "learning_rate": float(self._schedule(step - 1)),
            "tokens_per_second": tokens / max(seconds, 1e-9),
        }
        self._write(step, "train", line)
        bar.set_postfix_str(_progress(line), refresh=False)

    def _write_heldout_line(self, step: int) -> None:
        sums = _add_up([self._evaluate_step(batch) for batch in self.heldout])
        del sums["tokens"]
        line = averages(sums)
        self._write(step, "heldout", {"loss": self._objective.total(line), **line})
        self._last = time.monotonic()  # evaluation is not training time

    def _write(self, step: int, split: str, line: dict) -> None:
        seconds = self._before + time.monotonic() - self._began
        line = {"step": step, "split": split, **line, "time": round(seconds, 3)}
        self.history.append(line)
        self._log.write(line)


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


def _numbered(variables: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    for number, variable in enumerate(variables):
        yield f"{number}_{variable.name}", variable.value


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _floats(sums: dict) -> dict:
    return {name: (float(top), float(bottom)) for name, (top, bottom) in sums.items()}


def _add_up(results: list[dict]) -> dict:
    """Adds the sums of several steps, quantity by quantity."""
    results = [_floats(sums) for sums in results]
    return {
        name: tuple(sum(r[name][part] for r in results) for part in (0, 1))
        for name in results[0]
    }


_SHOWN = {
    "loss": "loss {:.3f}",
    "mlm_accuracy": "mlm {:.1%}",
    "nsp_accuracy": "nsp {:.1%}",
    "accuracy": "accuracy {:.1%}",
    "tokens_per_second": "{:,.0f} tokens/s",
}


def _progress(line: dict) -> str:
    return ", ".join(
        form.format(line[name]) for name, form in _SHOWN.items() if name in line
    )


# === Steps as TensorFlow functions ===


def _train_step(
    strategy: Any, objective: Objective, optimizer: AdamW, parts: int
) -> Any:
    import tensorflow as tf

    variables = objective.model.trainable_variables

    def on_replica(batch):
        found, loss, sums = gradients(
            objective, batch, variables, parts, optimizer.scale_loss
        )
        optimizer.apply(found, variables)
        replicas = strategy.num_replicas_in_sync
        # The losses are shares of one total: they add up over the replicas.
        sums |= {
            "loss": (loss, 1.0 / replicas),
            "grad_norm": (optimizer.gradient_norm, 1.0),
        }
        return tf.nest.map_structure(tf.convert_to_tensor, sums)

    return _reduced(strategy, on_replica)


def _evaluate_step(strategy: Any, objective: Objective) -> Any:
    import tensorflow as tf

    def on_replica(batch):
        _, sums = objective(batch, training=False)
        return tf.nest.map_structure(tf.convert_to_tensor, sums)

    return _reduced(strategy, on_replica)


def _reduced(strategy: Any, on_replica: Any) -> Any:
    """Runs on every replica and adds up the sums, compiled once."""
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def step(batch):
        sums = strategy.run(on_replica, args=(batch,))
        return tf.nest.map_structure(
            lambda x: strategy.reduce(tf.distribute.ReduceOp.SUM, x, axis=None), sums
        )

    return step


# === Log ===


def _kept_lines(file: Path, last_step: int) -> list[dict]:
    """Drops lines of steps that a resumed run will do again."""
    if not file.exists():
        return []
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines = [line for line in lines if line["step"] <= last_step]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines


class _Log:
    """Writes lines to `metrics.jsonl` and to TensorBoard."""

    def __init__(self, file: Path, folder: Path):
        import tensorflow as tf

        self._file = file.open("a", encoding="utf-8")
        self._writers = {
            split: tf.summary.create_file_writer(str(folder / split))
            for split in ("train", "heldout")
        }

    def write(self, line: dict) -> None:
        import tensorflow as tf

        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        with self._writers[line["split"]].as_default(step=line["step"]):
            for name, value in line.items():
                if name not in ("step", "split", "time"):
                    tf.summary.scalar(name, value)

    def __enter__(self) -> "_Log":
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()
        for writer in self._writers.values():
            writer.close()
