"""Sources of text for pretraining data."""

from keras_bert.pretraining.sources.base import (
    BLOCK_BYTES,
    IRREGULARITIES,
    RawBlock,
    RawFragment,
    Source,
    SourceGroup,
    describe_irregularities,
)
from keras_bert.pretraining.sources.files import JsonLines, RawDocuments, TextFiles
from keras_bert.pretraining.sources.items import Documents, TensorFlowDatasets

__all__ = [
    "BLOCK_BYTES",
    "IRREGULARITIES",
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
    "describe_irregularities",
]

# By the names that the command line uses.
SOURCES: dict[str, type[Source]] = {
    "text": TextFiles,
    "documents": RawDocuments,
    "jsonl": JsonLines,
    "tfds": TensorFlowDatasets,
}
