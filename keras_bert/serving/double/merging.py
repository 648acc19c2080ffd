"""Several requests as one batch, and the batch's answer as several again.

Two requests are merged where each then gets the answer it would have got alone, in
the same shape. That is so where

- the inputs have equal shapes beyond the batch axis, and no output has a length of
  its own that follows from the strings sent (tokens of a text, entities found); or
- the inputs are rows of ids with an attention mask: they are padded to the longest,
  and what the model returns for the padding is cut off again.

Anything else runs alone.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from keras_bert.features import SERVED_INPUTS

Arrays = dict[str, np.ndarray]
FREE = -1  # a dimension that a signature leaves open


class Merger(NamedTuple):
    """Merges requests on one signature.

    Args:
        signature: as `saved_model.pb` describes it.
    """

    signature: meta_graph_pb2.SignatureDef

    def key(self, inputs: Mapping[str, np.ndarray]) -> Hashable | None:
        """Returns what requests must have in common; None for one that runs alone.

        Args:
            inputs: arrays by name, exactly the signature's.
        """
        shapes = {name: array.shape for name, array in inputs.items()}
        # Unequal numbers of rows are an error that merging would hide.
        if len({shape[:1] for shape in shapes.values()}) != 1:
            return None
        if not all(shape and shape[0] for shape in shapes.values()):
            return None
        outputs = self.signature.outputs.values()
        if any(info.tensor_shape.unknown_rank for info in outputs):
            return None
        if _are_masked_rows(shapes):
            return "rows of ids"
        if self._lengths_follow_strings(inputs):
            return None
        return tuple((name, shape[1:]) for name, shape in sorted(shapes.items()))

    def merge(self, requests: Sequence[Arrays]) -> Arrays:
        """Returns the inputs of one batch."""
        if len(requests) == 1:
            return requests[0]
        if _are_masked_rows({name: a.shape for name, a in requests[0].items()}):
            longest = max(_length(inputs) for inputs in requests)
            requests = [_padded(inputs, longest) for inputs in requests]
        return {
            name: np.concatenate([inputs[name] for inputs in requests])
            for name in requests[0]
        }

    def split(self, outputs: Arrays, requests: Sequence[Arrays]) -> list[Arrays]:
        """Returns the outputs that belong to each request."""
        if len(requests) == 1:
            return [outputs]
        ends = np.cumsum([_rows(inputs) for inputs in requests])[:-1]
        columns = {name: np.split(array, ends) for name, array in outputs.items()}
        answers = [
            {name: parts[i] for name, parts in columns.items()}
            for i in range(len(requests))
        ]
        if not _are_masked_rows({n: a.shape for n, a in requests[0].items()}):
            return answers
        longest = max(_length(inputs) for inputs in requests)
        return [
            self._cut(answer, longest, _length(inputs))
            for answer, inputs in zip(answers, requests, strict=True)
        ]

    def _cut(self, answer: Arrays, longest: int, length: int) -> Arrays:
        return {
            name: array[
                tuple(
                    slice(length if free and size == longest else None)
                    for free, size in zip(self._free(name), array.shape, strict=True)
                )
            ]
            for name, array in answer.items()
        }

    def _free(self, name: str) -> list[bool]:
        """Which axes of an output are open, the batch axis aside."""
        dims = self.signature.outputs[name].tensor_shape.dim
        return [axis > 0 and dim.size == FREE for axis, dim in enumerate(dims)]

    def _lengths_follow_strings(self, inputs: Mapping[str, np.ndarray]) -> bool:
        if all(array.dtype != object for array in inputs.values()):
            return False
        return any(any(self._free(name)) for name in self.signature.outputs)


def _are_masked_rows(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    same = len(set(shapes.values())) == 1
    return same and set(shapes) == set(SERVED_INPUTS) and len(_any(shapes)) == 2


def _padded(inputs: Arrays, length: int) -> Arrays:
    # 0 in the mask says that a position is padding; its other values do not count.
    widths = ((0, 0), (0, length - _length(inputs)))
    return {name: np.pad(array, widths) for name, array in inputs.items()}


def _rows(inputs: Arrays) -> int:
    return len(_any(inputs))


def _length(inputs: Arrays) -> int:
    return _any(inputs).shape[1]


def _any(mapping: Mapping):
    return next(iter(mapping.values()))
