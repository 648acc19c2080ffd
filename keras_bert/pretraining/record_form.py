"""Record files, and which form of records they hold."""

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_bert.errors import InputError, MissingFileError
from keras_bert.features import NAMINGS, RecordField, record_fields
from keras_bert.pretraining.examples import decode_examples
from keras_bert.pretraining.records import COMPACT_IDS
from keras_bert.pretraining.tfrecords import RecordFile

LONGEST_ROW = 1 << 16  # tokens; a record may claim any length
Pattern = str | Path | Sequence[str | Path]


def record_files(pattern: Pattern) -> list[Path]:
    """Lists record files, sorted within each pattern.

    Args:
        pattern: names, glob patterns, comma-separated lists of them.

    Raises:
        MissingFileError: a name or pattern matches nothing.
    """
    patterns = [pattern] if isinstance(pattern, str | Path) else pattern
    files: list[Path] = []
    for name in (name for item in patterns for name in str(item).split(",")):
        found = sorted(glob.glob(name.strip()))
        if not found:
            raise MissingFileError(
                f"Expected record files at {name!r}, found none. Make them with "
                "`keras-bert data`."
            )
        files += map(Path, found)
    return files


class RecordForm(NamedTuple):
    """What records look like.

    Attributes:
        compact: tokens only, masked when they are read.
        naming: of a static record's fields, "google" or "model_garden".
        packed: rows hold several pieces.
        labeled: pieces have labels.
        sizes: lengths of the axes "seq", "predictions" (static) and "pieces".
    """

    compact: bool
    naming: str
    packed: bool
    labeled: bool
    sizes: dict[str, int]

    def fields(self) -> list[RecordField]:
        """Lists the fields that batches are made of."""
        return record_fields(self.packed, self.labeled)

    def shape(self, field: RecordField) -> list[int]:
        """Returns the shape of a field in one example."""
        scalar = field.axis == "pieces" and not self.packed
        return [] if scalar else [self.sizes[field.axis]]


def record_form(files: Sequence[str | Path]) -> RecordForm:
    """Determines the form of records from the first one.

    Args:
        files: record files.

    Raises:
        InputError: there is no record, or it is not a pretraining example.
    """
    found = _first_example(files)
    if found.keys() & COMPACT_IDS.keys():
        return _compact_form(found, files[0])
    naming = NAMINGS["input_word_ids" in found]
    packed, labeled = "cls_positions" in found, "next_sentence_labels" in found
    fields = record_fields(packed, labeled)
    missing = [f.key(naming) for f in fields if f.key(naming) not in found]
    if missing:
        raise InputError(
            f"Expected pretraining records in {files[0]}; its first lacks "
            f"{', '.join(missing)}. Make them with `keras-bert data`."
        )
    sizes = {f.axis: len(found[f.key(naming)]) for f in fields}
    return RecordForm(False, naming, packed, labeled, {"pieces": 1, **sizes})


def _compact_form(found: Mapping[str, list], file: str | Path) -> RecordForm:
    shape = [int(n) if isinstance(n, np.integer) else 0 for n in found.get("shape", ())]
    seq, pieces = [*shape, 1][:2] if len(shape) in (1, 2) else (0, 0)
    if "pieces" not in found or not 1 <= pieces <= seq <= LONGEST_ROW:
        raise InputError(
            f"Expected compact records in {file}, with `pieces` and a `shape` of at "
            f"most {LONGEST_ROW} tokens. Received: {', '.join(found)}, the shape "
            f"{shape}. Make them with `keras-bert data`."
        )
    sizes = {"seq": seq, "pieces": pieces}
    return RecordForm(True, "google", len(shape) == 2, "labels" in found, sizes)


def _first_example(files: Sequence[str | Path]) -> dict[str, list]:
    firsts = (RecordFile(file).first() for file in files)
    record = next((first for first in firsts if first is not None), None)
    if record is None:
        raise InputError(
            f"{files[0]} is not a TFRecord of examples: it holds none. Make records "
            "with `keras-bert data`."
        )
    columns = decode_examples([record]).items()
    return {k: list(c if isinstance(c, list) else c.values) for k, c in columns}
