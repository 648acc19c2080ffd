"""Files of vectors, written as they are computed: `.npy`, and lines of JSON."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
from numpy.lib import format as npy

SUFFIXES = (".npy", ".jsonl")


def write_vectors(path: Path, rows: Iterable[Mapping[str, Any]], width: int) -> int:
    """Writes a vector for each row, in order.

    Args:
        path: a `.npy` file, float32 `(rows, width)`, with NaN for rows without vector;
            or a `.jsonl` file of the rows, with null.
        rows: each with `embedding`, `(width,)` or None.
        width: of the vectors.

    Returns:
        The number of rows.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "vectors.npy"
        >>> write_vectors(path, [{"embedding": np.ones(2)}, {"embedding": None}], 2)
        2
        >>> np.load(path).tolist()
        [[1.0, 1.0], [nan, nan]]
    """
    if path.suffix == ".npy":
        with path.open("wb") as file:
            return _write_array(file, rows, width)
    with path.open("w", encoding="utf-8") as lines:
        return write_lines(lines, rows)


def _write_array(file: BinaryIO, rows: Iterable[Mapping[str, Any]], width: int) -> int:
    count, blank = 0, np.full(width, np.nan, "float32")
    _write_header(file, count, width)
    for row in rows:
        vector = row["embedding"]
        file.write(np.asarray(blank if vector is None else vector, "<f4").tobytes())
        count += 1
    file.seek(0)
    # NumPy leaves room in a header for a first axis that grows.
    _write_header(file, count, width)
    return count


def _write_header(file: BinaryIO, rows: int, width: int) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    npy.write_array_header_1_0(file, header)


def write_lines(file: TextIO, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes rows with vectors as lines of JSON; returns how many.

    Args:
        file: open for text.
        rows: see `write_vectors`.
    """
    count = 0
    for row in rows:
        vector = row["embedding"]
        line = {**row, "embedding": None if vector is None else _listed(vector)}
        count += 1
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return count


def _listed(vector: np.ndarray) -> list[float]:
    """Returns the numbers of a float32 vector in the fewest digits that tell them."""
    return [float(str(number)) for number in np.asarray(vector, "float32")]
