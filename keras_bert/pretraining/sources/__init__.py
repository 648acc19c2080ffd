"""Where text comes from."""

from keras_bert.pretraining.sources.base import (
    BLOCK_BYTES,
    ODDITIES,
    RawBlock,
    RawFragment,
    Source,
    SourceGroup,
    describe_oddities,
)
from keras_bert.pretraining.sources.files import JsonLines, RawDocuments, TextFiles
from keras_bert.pretraining.sources.items import Documents, TensorFlowDatasets

__all__ = [
    "BLOCK_BYTES",
    "ODDITIES",
    "SOURCES",
    "Documents",
    "JsonLines",
    "RawBlock",
    "RawDocuments",
    "RawFragment",
    "Source",
    "SourceGroup",
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
