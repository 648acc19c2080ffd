"""What models return: values by name, by attribute and by number."""

import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Self

import optree

from keras_bert.transformers import OUTPUTS

# Values that an output may have. Those it does not have are None.
FIELDS = (
    "loss",
    "logits",
    "prediction_logits",
    "seq_relationship_logits",
    "sop_logits",
    "start_logits",
    "end_logits",
    "last_hidden_state",
    "pooler_output",
    "past_key_values",
    "hidden_states",
    "attentions",
    "cross_attentions",
)


class ModelOutput(OrderedDict):
    """The outputs of a model: `out.logits`, `out["logits"]` and `out[0]` are the same.

    Example:
        >>> out = ModelOutput(loss=0.5, logits=[1.0, 2.0])
        >>> out.logits, out["loss"], out[1], out.attentions
        ([1.0, 2.0], 0.5, [1.0, 2.0], None)

    Source: the class of this name in `transformers`.
    """

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Returns outputs in the order of `FIELDS`."""
        return cls((name, values[name]) for name in FIELDS if name in values)

    def __getitem__(self, key: Any) -> Any:
        return (
            super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]
        )

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        if name in FIELDS:
            return None
        raise AttributeError(f"the outputs are {', '.join(self)}; not {name}")

    def to_tuple(self) -> tuple[Any, ...]:
        """Returns the values, in their order."""
        return tuple(self.values())

    def __reduce__(self) -> tuple:
        return type(self), (list(self.items()),)


def _form(name: str) -> type:
    """Returns a class that makes a `ModelOutput` of what is not None."""

    def make(cls: type, **values: Any) -> ModelOutput:
        return ModelOutput.of({k: v for k, v in values.items() if v is not None})

    return type(name, (ModelOutput,), {"__new__": make, "__module__": __name__})


vars(sys.modules[__name__]).update({name: _form(name) for name in OUTPUTS})


# Keras must look inside. By name, as in a dict, so that a graph that was made
# of the dict runs with this.
def _flatten(output: ModelOutput) -> tuple[list[Any], tuple[str, ...]]:
    return [output[name] for name in sorted(output)], tuple(output)


def _unflatten(order: Iterable[str], values: Iterable[Any]) -> ModelOutput:
    order = list(order)
    by_name = dict(zip(sorted(order), values, strict=True))
    return ModelOutput((name, by_name[name]) for name in order)


optree.register_pytree_node(ModelOutput, _flatten, _unflatten, namespace="keras")
