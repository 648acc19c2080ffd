"""Bodies of predict requests and answers, by row or by column, in JSON.

Source of forms and messages: TF Serving's `api_rest.md` and `json_tensor.cc`.
"""

from collections.abc import Callable, Mapping

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from keras_bert.serving.double.errors import ServingError, invalid
from keras_bert.serving.double.json_tensors import is_object, shown, tensor_of, to_json
from keras_bert.serving.double.merging import Arrays

TensorInfos = Mapping[str, meta_graph_pb2.TensorInfo]


def format_of(document: dict) -> tuple[Callable, Callable]:
    """Returns the reader and the writer of the form a body is in."""
    given = [key for key in FORMATS if key in document]
    if len(given) > 1:
        raise invalid(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only "
            "one of 'inputs' or 'instances' keys to exist "
        )
    if not given:
        raise invalid("Missing 'inputs' or 'instances' key")
    return FORMATS[given[0]]


def read_rows(document: dict, infos: TensorInfos) -> Arrays:
    """Reads `instances`: one value, or one object of values, per row."""
    rows = document["instances"]
    if not isinstance(rows, list):
        message = "Expecting 'instances' to be an list/array"
        raise invalid(f"JSON Value: {shown(document)} {message}")
    if not rows:
        message = "No values in 'instances' array"
        raise invalid(f"JSON Value: {shown(document)} {message}")
    if not isinstance(rows[0], dict) and len(infos) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    read = _read_objects if is_object(rows[0]) else _read_values
    return read(rows, infos)


def _read_objects(rows: list, infos: TensorInfos) -> Arrays:
    columns: dict[str, list[np.ndarray]] = {name: [] for name in infos}
    for index, row in enumerate(rows):
        if not is_object(row):
            raise invalid(
                f"Expecting object but got list at item {index} of input list"
            )
        for name, value in row.items():
            where = f"Failed to process element: {index} key: {name}"
            _add_item(columns, name, value, infos, where)
        if set(row) != set(infos):
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{shown(row)} keys must be equal to: {','.join(infos)}"
            )
    return {name: np.stack(items) for name, items in columns.items()}


def _read_values(rows: list, infos: TensorInfos) -> Arrays:
    name = next(iter(infos))
    columns: dict[str, list[np.ndarray]] = {name: []}
    for index, row in enumerate(rows):
        if is_object(row):
            raise invalid(
                f"Expecting value/list but got object at item {index} of input list"
            )
        where = f"Failed to process element: {index}"
        _add_item(columns, name, row, infos, where)
    return {name: np.stack(columns[name])}


def _add_item(columns: dict, name: str, value, infos: TensorInfos, where: str) -> None:
    try:
        if name not in infos:
            raise invalid(f"JSON object: does not have named input: {name}")
        item = tensor_of(value, infos[name].dtype)
        _check_alike(columns[name], item)
        columns[name].append(item)
    except ServingError as error:
        message = f"{where} of 'instances' list. Error: {error.code}: {error}"
        raise invalid(message) from error


def _check_alike(items: list[np.ndarray], item: np.ndarray) -> None:
    if not items or items[0].shape == item.shape:
        return
    if items[0].size != item.size:
        raise invalid(f"Expecting tensor size: {items[0].size} but got: {item.size}")
    first, other = (f"[{','.join(map(str, a.shape))}]" for a in (items[0], item))
    raise invalid(f"Expecting shape {first} but got: {other}")


def read_columns(document: dict, infos: TensorInfos) -> Arrays:
    """Reads `inputs`: one tensor, or an object of tensors by name."""
    value = document["inputs"]
    if not is_object(value):
        if len(infos) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        name = next(iter(infos))
        return {name: tensor_of(value, infos[name].dtype)}
    for name in infos:
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: tensor_of(value[name], info.dtype) for name, info in infos.items()}


def write_rows(outputs: Arrays) -> dict:
    """Writes `predictions`: one value, or one object of values, per row."""
    sizes = {name: _rows_of(name, array) for name, array in outputs.items()}
    size = next(iter(sizes.values()))
    for name, other in sizes.items():
        if other != size:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {other} "
                f"expecting: {size}"
            )
    columns = {name: to_json(name, array) for name, array in outputs.items()}
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    rows = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


def _rows_of(name: str, array: np.ndarray) -> int:
    if not array.ndim:
        raise invalid(f"Tensor name: {name} has no shape information ")
    return len(array)


def write_columns(outputs: Arrays) -> dict:
    """Writes `outputs`: one tensor, or an object of tensors by name."""
    columns = {name: to_json(name, array) for name, array in outputs.items()}
    single = len(columns) == 1
    return {"outputs": next(iter(columns.values())) if single else columns}


FORMATS = {
    "instances": (read_rows, write_rows),
    "inputs": (read_columns, write_columns),
}
