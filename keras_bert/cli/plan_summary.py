"""What a command prints about a phase of training before it starts."""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras_bert.cli.runs import remarks

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def duration(seconds: float) -> str:
    """Formats a duration in its two largest units.

    Example:
        >>> duration(93_784), duration(59.4), duration(0.2)
        ('1 d 2 h', '59 s', '0 s')
    """
    rest, texts = round(seconds), []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count or texts:
            texts.append(f"{count} {unit}")
    return " ".join(text for text in texts[:2] if text[:2] != "0 ") or "0 s"


def gigabytes(count: float) -> str:
    """Formats a number of bytes.

    Example:
        >>> gigabytes(1.46e9)
        '1.5 GB'
    """
    return f"{count / 1e9:,.1f} GB"


class PlanSummary(NamedTuple):
    """The summary of a phase, and the estimate of its memory and time.

    Attributes:
        recipe: the recipe.
        run: the phase, a `keras_bert.cli.pretrain.PhaseRun`.
        model: the model.
        records: their number.
        batch: some rows of the first batch.
    """

    recipe: Any
    run: Any
    model: Any
    records: int
    batch: tuple

    @property
    def rows(self) -> int:
        """Rows per step."""
        return self.run.phase.batch_size

    @property
    def seq(self) -> int:
        """Tokens per row."""
        return self.batch[0]["input_ids"].shape[1]

    def summary(self) -> str:
        """Returns lines about the model, the steps and the data."""
        plan, model = self.run.plan, self.model
        tokens = plan.steps * self.rows * self.seq
        passes = plan.steps * self.rows / self.records
        return (
            f"{self._title() if self.run.number == 1 else ''}"
            f"phase {self.run.number}: {model.count_params():,} parameters, "
            f"{plan.steps:,} steps of {self.rows} rows, {tokens:,} tokens including "
            f"padding; {self.run.folder}\n"
            f"  {self.run.data}: {self.records:,} records of {self.seq} tokens, "
            f"{passes:,.1f} passes\n"
            f"  {plan.optimizer}, {self._rates()}{remarks(plan, model)}"
        )

    def _title(self) -> str:
        title = self.recipe.summary and f"{self.recipe.summary}.\n"
        source = self.recipe.source and f"  settings from {self.recipe.source}\n"
        return title + source

    def _rates(self) -> str:
        plan = self.run.plan
        end = plan.schedule_options.get("end")
        microbatches = plan.gradient_accumulation_steps
        return (
            f"learning rate {plan.learning_rate:g}"
            f"{f' to {end:g}' if end else ''}, {plan.schedule}, "
            f"{plan.warmup_steps:,} warm-up steps"
            f"{f', {microbatches} microbatches per step' if microbatches > 1 else ''}"
        )

    def estimate(self, make_model: Callable[[], Any]) -> str:
        """Returns lines about operations, memory and time.

        Args:
            make_model: makes a model of the same size, to time a few steps with.
        """
        from keras_bert.training import estimates
        from keras_bert.training.distribution import distribution
        from keras_bert.training.monitoring import training_operations

        plan = self.run.plan
        shapes = {n: (self.rows, *x.shape[1:]) for n, x in self.batch[0].items()}
        operations = plan.steps * training_operations(self.model, shapes)
        devices = distribution(plan.distribution, plan.model_shards)
        shares = plan.gradient_accumulation_steps * devices.replicas
        memory = self._memory(estimates, max(1, self.rows // shares))
        seconds = estimates.measured_step_seconds(
            make_model, plan, self.batch, self.rows
        )
        return (
            f"  {operations:.2e} floating-point operations in matrix products (6 per "
            f"weight and token, plus attention)\n{memory}\n"
            f"  about {duration(plan.steps * seconds)}, {seconds:.3g} s per step, "
            f"measured on a few rows; evaluation and checkpoints not included"
        )

    def _memory(self, estimates: Any, rows: int) -> str:
        features, wide = (
            self.batch[0],
            self.model.dtype_policy.compute_dtype == "float32",
        )
        parameters = self.model.count_params()
        added = estimates.training_bytes(
            parameters,
            self.model.config,
            rows,
            self.seq,
            features["masked_lm_positions"].shape[1],
            size=4 if wide else 2,
            activation_checkpointing=self.run.plan.activation_checkpointing,
        )
        return (
            f"  about {gigabytes(added)} of memory on each device, "
            f"{gigabytes(estimates.state_bytes(parameters))} of it for weights and "
            f"optimizer, the rest for {rows} rows at a time; in addition to the "
            f"{gigabytes(estimates.process_bytes())} of the process "
            f"(± {estimates.MARGIN:.0%}, as measured on CPUs)"
            f"{self._shortage(estimates, added)}"
        )

    def _shortage(self, estimates: Any, added: float) -> str:
        """Returns a warning if the free memory is too little."""
        free = estimates.free_bytes()
        if free is None or added <= free:
            return ""
        certain = added * (1 - estimates.MARGIN) > free
        return (
            f"\n  This {'does not' if certain else 'may not'} fit: {gigabytes(free)} "
            "are free. A larger gradient_accumulation_steps or "
            "--activation-checkpointing takes less, a smaller model least."
        )
