"""The inputs of a model: named, checked, and completed with what was left out."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_bert.config import Config
from keras_bert.errors import InputError, choose
from keras_bert.features import ALIASES, ENCODER_INPUTS, INPUTS

Tensor = Any
Shape = tuple[Any, ...]  # integers, or None where a graph knows no better
_length_is_invented: ContextVar[bool] = ContextVar("length", default=False)


def named(inputs: Any, rank: int = 2) -> dict[str, Any]:
    """Returns inputs by the names of this package.

    Args:
        inputs: a dict, by these names or those of Google, the Model Garden or
            KerasHub; a list of arrays in the order of `ENCODER_INPUTS`, which is that
            of `transformers`; or `input_ids` alone.
        rank: axes of `input_ids`, which tell a list of inputs from a list of rows.

    Raises:
        UnknownNameError: a name is not that of an input.
        InputError: `input_ids` is missing, or an input is given twice.

    Example:
        >>> named({"input_word_ids": [[1, 2]], "input_mask": None})
        {'input_ids': [[1, 2]]}
    """
    if not isinstance(inputs, Mapping):
        inputs = _by_position(inputs, rank)
    given = {name: value for name, value in inputs.items() if value is not None}
    found = {
        ALIASES.get(name) or choose("input", name, INPUTS): value
        for name, value in given.items()
    }
    if "input_ids" not in found or len(found) < len(given):
        raise InputError(
            "Expected a dict with 'input_ids', and each input once. "
            f"Received keys: {sorted(given)}."
        )
    return found


def joined(
    inputs: Any, args: Sequence[Any], kwargs: Mapping[str, Any], rank: int = 2
) -> tuple[Any, dict[str, Any]]:
    """Joins the inputs of a call into one argument.

    Args:
        inputs: the first argument, see `named`; None where all are keywords.
        args: further positional arguments, in the order of `ENCODER_INPUTS`.
        kwargs: keyword arguments, inputs by any name among them.
        rank: axes of `input_ids`.

    Returns:
        The inputs, and the keyword arguments that are none.

    Raises:
        InputError: an input is given twice, or cannot be told apart.

    Example:
        >>> joined([[1, 2]], (), {"attention_mask": [[1, 1]], "training": True})
        ({'input_ids': [[1, 2]], 'attention_mask': [[1, 1]]}, {'training': True})
    """
    names = [name for name in kwargs if name in INPUTS or name in ALIASES]
    by_name = {name: kwargs[name] for name in names if kwargs[name] is not None}
    others = {k: v for k, v in kwargs.items() if k not in names}
    if not by_name and not args:
        return inputs, others
    first = _in_order([inputs, *args]) if args else _parts(inputs, rank)
    twice = {_own_name(n) for n in first} & {_own_name(n) for n in by_name}
    if twice:
        raise InputError(
            f"Expected each input once. Received: {', '.join(sorted(twice))} twice, by "
            "position or in a dict, and by name."
        )
    return {**first, **by_name}, others


def refuse_mask(mask: Any) -> None:
    """Refuses masks of Keras.

    Raises:
        InputError: saying how a mask is given.
    """
    # Graphs of flat models hold a mask of None.
    if any(x is not None for x in keras.tree.flatten(mask)):
        raise InputError(
            "Expected the mask of a batch as attention_mask=, 1 for tokens and 0 for "
            "padding. Received: mask=."
        )


def _parts(inputs: Any, rank: int) -> Mapping[str, Any]:
    """Returns the first argument of a call as a dict."""
    if inputs is None:
        return {}
    return inputs if isinstance(inputs, Mapping) else _by_position(inputs, rank)


def _own_name(name: str) -> str:
    return ALIASES.get(name, name)


def _by_position(inputs: Any, rank: int) -> dict[str, Any]:
    several = isinstance(inputs, list | tuple) and len(inputs) > 0
    if not several or _rank(inputs[0]) < rank:
        return {"input_ids": inputs}
    return _in_order(inputs)


def _in_order(inputs: Sequence[Any]) -> dict[str, Any]:
    """Returns inputs by position by their names."""
    if len(inputs) > len(ENCODER_INPUTS):
        raise InputError(
            f"Expected at most {len(ENCODER_INPUTS)} inputs by position: "
            f"{', '.join(ENCODER_INPUTS)}. Received: {len(inputs)}. Give them by name."
        )
    odd = [x for x in inputs if isinstance(x, bool | np.bool_ | Mapping)]
    if odd:
        raise InputError(
            f"Expected inputs by position: {', '.join(ENCODER_INPUTS)}. Received: "
            f"{type(odd[0]).__name__} among them. Give it by name, or all in a dict."
        )
    _refuse_segments(inputs)
    return dict(zip(ENCODER_INPUTS, inputs, strict=False))


def _refuse_segments(inputs: Sequence[Any]) -> None:
    """Refuses `[ids, token types]`, the order of other libraries.

    Types begin with 0 in every row, and a mask with 1 in every row that has a token.
    """
    given = len(inputs) == 2 and inputs[1] is not None
    second = visible(inputs[1]) if given else None
    if second is not None and second.size and not np.any(second[..., 0]):
        raise InputError(
            "Expected attention_mask as the second of two inputs. Received: 0 for the "
            "first token of every row, as token types have it. Give inputs by name: "
            "{'input_ids': …, 'token_type_ids': …}."
        )


def _rank(value: Any) -> int:
    if isinstance(value, list | tuple):
        return 1 + (_rank(value[0]) if len(value) else 0)
    return len(getattr(value, "shape", ()))


# === Checks ===


def visible(values: Any) -> np.ndarray | None:
    """Returns values as an array, or None where they cannot be seen.

    That is in a graph, while it is traced, and on some accelerators.

    Raises:
        InputError: rows are not of one length, or values are masked.
    """
    if isinstance(values, np.ma.MaskedArray) and values.mask.any():
        raise InputError(
            "Expected arrays without masked values. Received: a masked array. Fill it: "
            "ids with the pad id, labels to ignore with -100."
        )
    try:
        array = np.asarray(values)
    except Exception as error:  # each backend has its own
        if isinstance(values, list | tuple):
            raise _uneven() from error
        return None
    if array.dtype == object and isinstance(next(array.flat, None), np.ndarray | list):
        raise _uneven()
    return array


def _uneven() -> InputError:
    return InputError(
        "Expected rows of one length. Received: rows of several. Pad them, for "
        "instance with tokenizer(texts), or to_tensor() of a ragged tensor."
    )


def check(inputs: Mapping[str, Any], config: Config, rank: int = 2) -> dict[str, Any]:
    """Returns inputs with arrays for lists; refuses shapes and values that are wrong.

    Values are looked at where they are at hand, in arrays, lists and eager tensors;
    shapes are known in graphs too. In a graph a number out of range makes its row NaN.

    Args:
        inputs: see `named`.
        config: the model's.
        rank: axes of `input_ids`.

    Raises:
        InputError: naming the input, its row and column, its value and the range.
    """
    checked = {name: _checked(name, value) for name, value in inputs.items()}
    shapes = {name: _shape(value) for name, value in checked.items()}
    _check_shapes(shapes, config, rank)
    for name, limit in _limits(config, shapes["input_ids"]).items():
        values = visible(checked[name]) if name in checked else None
        if values is not None and limit.size:
            limit.check(name, values)
    return checked


class Limit(NamedTuple):
    """What an input may hold: 0 to `size`, exclusive; and what to do about others."""

    size: float | None
    advice: str

    def check(self, name: str, values: np.ndarray) -> None:
        """Raises InputError for a value out of range."""
        size = np.inf if self.size is None else self.size
        if not values.size or (values.min() >= 0 and values.max() < size):
            return
        end = " on" if size == np.inf else f" to {size - 1}"
        wrong = (values < 0) | (values >= size)
        refuse_first(wrong, values, f"{name} from 0{end}", self.advice)


def _limits(config: Config, shape: Shape | None) -> dict[str, Limit]:
    length = shape[-1] if shape else None
    in_row = "Positions count the tokens of a row from 0."
    return {
        "input_ids": Limit(
            config.vocab_size, "Check that tokenizer and model belong together."
        ),
        "attention_mask": Limit(np.inf, "Give 1 for tokens and 0 for padding."),
        "token_type_ids": Limit(
            config.type_vocab_size, "The model has type_vocab_size token types."
        ),
        "position_ids": Limit(
            config.max_position_embeddings,
            "The model has max_position_embeddings positions.",
        ),
        "masked_lm_positions": Limit(length, in_row),
        "cls_positions": Limit(length, in_row),
    }


def _checked(name: str, value: Any) -> Any:
    """Returns an input as it is, or an array of integers made of it."""
    values = visible(value)
    if values is None:
        return _of_graph(name, value)
    values = as_numbers(values, partial(_no_number, name))
    if values.dtype.kind in "iu":
        return value if ops.is_tensor(value) else values
    if values.dtype.kind == "f":
        wrong = (values % 1 != 0) | (np.abs(values) >= 2**31)
        refuse_first(wrong, values, f"{name} in integers", "Give token ids.")
    return values.astype("int32")


def _of_graph(name: str, tensor: Tensor) -> Tensor:
    if isinstance(tensor, keras.KerasTensor):
        return tensor
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if dtype == "string":
        raise _no_number(name, "strings", "in a tensor")
    # Under a 16-bit policy Keras would round floats before the model is called.
    return _int32(tensor) if "float" in dtype else tensor


def as_numbers(values: np.ndarray, error: Callable[[str, str], Exception]) -> Any:
    """Returns values that are numbers, objects such as pandas makes as floats.

    Args:
        values: an array of any type.
        error: makes what is raised for an item that is no number, of the item and of
            its place, in words.
    """
    if values.dtype.kind in "iufb":
        return values
    for place, item in np.ndenumerate(values):
        if not isinstance(item, int | float | np.integer | np.floating | np.bool_):
            shown = str(item) if isinstance(item, str) else item
            raise error(repr(shown)[:60], where(place))
    return values.astype("float64")


def _no_number(name: str, item: str, place: str) -> InputError:
    return InputError(
        f"Expected integers in {name}. Received: {item} {place}. {NO_TOKENIZER}"
    )


NO_TOKENIZER = (
    "Texts have to be tokenized first: model(tokenizer(texts)). Or attach a tokenizer: "
    "model.tokenizer = tokenizer."
)


def refuse_first(wrong: np.ndarray, values: np.ndarray, what: str, advice: str) -> None:
    """Raises if a value is wrong, naming the first one and its place.

    Args:
        wrong: bool, of the shape of the values.
        values: what was given.
        what: was expected.
        advice: what to do.

    Raises:
        InputError: one is.
    """
    if not wrong.any():
        return
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    raise InputError(
        f"Expected {what}. Received: {values[place]} {where(place)}. {advice}"
    )


def where(place: Sequence[int]) -> str:
    """Returns the words for a place.

    Example:
        >>> where((3, 0)), where((1, 2, 0))
        ('in row 3, column 0', 'in row 1, choice 2, column 0')
    """
    axes = {1: ("row",), 2: ("row", "column"), 3: ("row", "choice", "column")}
    names = axes.get(len(place), ("index",) * len(place))
    found = ", ".join(f"{n} {i}" for n, i in zip(names, place, strict=True))
    return f"in {found}" if found else ""


def _shape(value: Any) -> Shape | None:
    shape = getattr(value, "shape", ())
    return None if getattr(shape, "rank", 0) is None else tuple(shape)


@contextlib.contextmanager
def invented_lengths() -> Iterator[None]:
    """Accepts rows of any length.

    Keras on JAX and PyTorch finds a symbolic output by trying 83 and 89 in place of
    lengths that are not known.
    """
    before = _length_is_invented.set(True)
    try:
        yield
    finally:
        _length_is_invented.reset(before)


def _check_shapes(
    shapes: Mapping[str, Shape | None], config: Config, rank: int
) -> None:
    ids = shapes["input_ids"]
    if ids is None:
        return
    if len(ids) != rank:
        axes = {2: "(batch, seq)", 3: "(batch, choices, seq)"}[rank]
        raise InputError(
            f"Expected input_ids of shape {axes}. Received: shape {ids}. A single row "
            "is a batch of one: [[2, 7, 3]]."
        )
    if ids[-1] == 0:
        raise InputError(
            "Expected rows of at least one token. Received: rows of none. A tokenizer "
            "adds [CLS] and [SEP] to an empty text too."
        )
    known = ids[-1] is not None and not _length_is_invented.get()
    if known and ids[-1] > config.max_length:
        raise InputError(
            f"Expected rows of at most {config.max_length} tokens "
            f"(max_position_embeddings). Received: {ids[-1]}. Truncate the text, for "
            "instance with tokenizer(..., max_length=...)."
        )
    for name in ENCODER_INPUTS[1:]:
        shape = shapes.get(name)
        if shape is not None and not _matches(shape, ids):
            raise InputError(
                f"Expected {name} of the shape of input_ids, {ids}. Received: {shape}."
                " Give one number for each token."
            )


def _matches(shape: Shape, ids: Shape) -> bool:
    """Whether a shape is that of the ids, or that of one row for all of them."""
    if len(shape) != len(ids):
        return False
    known = [(a, b) for a, b in zip(shape, ids, strict=True) if None not in (a, b)]
    one_row = all(n == 1 for n in shape[:-1]) and shape[-1] in (ids[-1], None)
    return all(a == b for a, b in known) or one_row


# === Completion ===


def complete(
    inputs: Mapping[str, Any], config: Config, names: Iterable[str]
) -> dict[str, Tensor]:
    """Returns the inputs a model takes: those given, and the others derived.

    Args:
        inputs: see `named`; what the model has no use for is left out.
        config: the model's.
        names: inputs of the model.

    Returns:
        int32 tensors; `cls_positions` only where it was given. What is not a whole
        number that int32 holds is -1, and a token whose mask is below 0 has the id -1:
        out of range, and NaN in the model.
    """
    given = {name: _int32(value) for name, value in inputs.items()}
    if "attention_mask" in given:
        masked = given["attention_mask"] < 0
        given["input_ids"] = ops.where(masked, -1, given["input_ids"])
    return {
        name: given[name]
        if name in given
        else DERIVED[name](given["input_ids"], config)
        for name in names
        if name in given or name in DERIVED
    }


def _int32(value: Any) -> Tensor:
    tensor = ops.convert_to_tensor(value)
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if dtype == "int32":
        return tensor
    narrow = ops.cast(tensor, "int32")
    if dtype in ("bool", "int8", "int16", "uint8", "uint16"):
        return narrow
    return ops.where(ops.cast(narrow, dtype) == tensor, narrow, -1)


def _count_up(ids: Tensor, config: Config) -> Tensor:
    return ops.cumsum(ops.ones_like(ids), axis=-1) - 1


def _positions(ids: Tensor, config: Config) -> Tensor:
    if not config.counts_tokens:
        return _count_up(ids, config)
    is_token = ops.cast(ids != config.pad_token_id, "int32")
    return ops.cumsum(is_token, axis=-1) * is_token + config.pad_token_id


# Padding is hidden, not only marked: the originals take all ones for a missing mask,
# which lets a row attend to its padding.
DERIVED = {
    "attention_mask": lambda ids, config: ops.cast(ids != config.pad_token_id, "int32"),
    "token_type_ids": lambda ids, config: ops.zeros_like(ids),
    "position_ids": _positions,
    "masked_lm_positions": _count_up,  # every position
}
