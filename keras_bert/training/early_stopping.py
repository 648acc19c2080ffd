"""The best evaluation of a run, and when a run without a better one stops."""

import math
from collections.abc import Mapping
from typing import Any

from keras_bert.training.plan import Plan

_BETTER_WHEN_SMALLER = ("loss", "error", "perplexity")


class BestEvaluation:
    """The best held-out metric so far, and the evaluations since.

    Args:
        plan: says which metric is monitored, and the patience.
        notes: of the checkpoint that the run resumes from.

    Attributes:
        step: of the best evaluation; None before the first.
        value: of the monitored metric at that step.
        waited: number of evaluations since.
    """

    def __init__(self, plan: Plan, notes: Mapping[str, Any]) -> None:
        self._plan = plan
        best = notes.get("best", {})
        self.step: int | None = best.get("step")
        self.value: float = best.get(plan.monitor, math.nan)
        self.waited: int = notes.get("waited", 0)

    def improves(self, step: int, value: float) -> bool:
        """Records an evaluation, and returns whether it is the best so far."""
        sign = -1 if self._plan.monitor.endswith(_BETTER_WHEN_SMALLER) else 1
        better = sign * (value - self.value) > self._plan.min_delta
        if math.isfinite(self.value) and not better:
            self.waited += 1
            return False
        self.step, self.value, self.waited = step, value, 0
        return True

    @property
    def patience_exhausted(self) -> bool:
        """Whether the run has to stop."""
        return self._plan.patience is not None and self.waited >= self._plan.patience

    def notes(self, step: int) -> dict[str, Any]:
        """Returns what a checkpoint of a step stores."""
        known = self.step is not None
        best = {"step": self.step, self._plan.monitor: self.value} if known else {}
        notes = {"best": best, "waited": self.waited}
        if self._plan.patience is not None:
            notes["chosen"] = self.step if known else step
        return notes
