"""Where text comes from."""

from keras_bert.pretraining.sources.base import (
    BLOCK_BYTES,
    ODDITIES,
    Group,
    Part,
    RawBlock,
    Source,
    describe_oddities,
)
from keras_bert.pretraining.sources.files import JsonLines, RawDocuments, TextFiles
from keras_bert.pretraining.sources.items import Documents, TensorFlowDatasets

__all__ = [
    "BLOCK_BYTES",
    "ODDITIES",
    "SOURCES",
    "Documents",
    "Group",
    "JsonLines",
    "Part",
    "RawBlock",
    "RawDocuments",
    "Source",
    "TensorFlowDatasets",
    "TextFiles",
    "describe_oddities",
]

# The names of the command line.
SOURCES: dict[str, type[Source]] = {
    "text": TextFiles,
    "documents": RawDocuments,
    "jsonl": JsonLines,
    "tfds": TensorFlowDatasets,
}
