"""An index of texts by their vectors: exact search, and a directory that keeps it.

The directory holds `vectors.npy`, float32 `(texts, dim)`; `texts.jsonl`, an object for
each of them; and `index.json`, which says how the vectors were made.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from keras_bert.atomic_files import whole_directory
from keras_bert.errors import (
    ExistingOutputError,
    InputError,
    MissingFileError,
    check_counts,
)
from keras_bert.tasks.similarity import SIMILARITIES, similarities

BLOCK = 4096  # texts that are compared at once
VERSION = 1
VECTORS, TEXTS, FACTS = "vectors.npy", "texts.jsonl", "index.json"


@dataclass(frozen=True)
class VectorIndex:
    """Texts and their vectors.

    Args:
        vectors: float32 `(texts, dim)`, all finite.
        texts: for each an object for JSON, with the text as `text`.
        similarity: see `keras_bert.tasks.similarity.similarities`.
        facts: how the vectors were made, for JSON.

    Raises:
        InputError: there are not as many vectors as texts, or one is not finite.

    Example:
        >>> index = VectorIndex(np.eye(3), [{"text": t} for t in "abc"])
        >>> [hit["text"] for hit in index.search(np.array([[0.1, 0.9, 0.2]]), 2)[0]]
        ['b', 'c']
    """

    vectors: np.ndarray
    texts: Sequence[Mapping[str, Any]]
    similarity: str = "cosine"
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = np.shape(self.vectors)
        if len(shape) != 2 or shape[0] != len(self.texts) or not len(self.texts):
            raise InputError(
                f"Expected a vector for each of {len(self.texts)} texts, and at least "
                f"one text. Received: vectors of shape {shape}."
            )
        for start, block in self._blocks():
            finite = np.isfinite(block).all(1)
            if not finite.all():
                number = start + int(np.argmin(finite))
                raise InputError(
                    "Expected finite vectors. Received: NaN or infinity in that of "
                    f"text {number}, {str(self.texts[number])[:60]}."
                )

    def _blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, len(self.texts), BLOCK):
            yield start, np.asarray(self.vectors[start : start + BLOCK], "float32")

    def search(self, queries: np.ndarray, k: int = 10) -> list[list[dict[str, Any]]]:
        """Returns the texts most similar to each query, the best first.

        Args:
            queries: vectors `(queries, dim)`, or one `(dim,)`.
            k: texts for each, at most; of equally similar ones the first.

        Returns:
            For each query a list of the objects of texts, with their `score`.

        Raises:
            InputError: the queries have another width than the vectors.
            ConfigError: `k` is below 1.
        """
        check_counts(k=k)
        queries = np.atleast_2d(np.asarray(queries, "float32"))
        best = np.zeros((len(queries), 0), "float32")
        numbers = np.zeros((len(queries), 0), "int64")
        for start, block in self._blocks():
            found = similarities(queries, block, self.similarity)
            best = np.concatenate([best, found], 1)
            here = np.arange(start, start + len(block))
            numbers = np.concatenate([numbers, np.tile(here, (len(queries), 1))], 1)
            order = np.argsort(-best, 1, kind="stable")[:, :k]
            best = np.take_along_axis(best, order, 1)
            numbers = np.take_along_axis(numbers, order, 1)
        return [
            [{**self.texts[n], "score": float(x)} for n, x in zip(*row, strict=True)]
            for row in zip(numbers.tolist(), best, strict=True)
        ]

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes the index as a directory.

        Args:
            path: the directory; it appears whole or not at all.
            overwrite: replace an index that is there.

        Raises:
            ExistingOutputError: something is there, and `overwrite` is False or it is
                no index.
        """
        path = Path(path)
        refuse_to_replace(path, overwrite)
        facts = {
            "version": VERSION,
            "texts": len(self.texts),
            "dim": self.vectors.shape[1],
            "similarity": self.similarity,
            **self.facts,
        }
        with whole_directory(path, replace=overwrite) as new:
            np.save(new / VECTORS, np.asarray(self.vectors, "float32"))
            with (new / TEXTS).open("w", encoding="utf-8") as file:
                for text in self.texts:
                    file.write(json.dumps(text, ensure_ascii=False) + "\n")
            listed = json.dumps(facts, indent=2, ensure_ascii=False)
            (new / FACTS).write_text(listed + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Opens an index; its vectors are read as they are compared.

        Args:
            path: the directory.

        Raises:
            MissingFileError: there is no index.
            InputError: it is damaged, or of a later version of this package.
        """
        path = Path(path)
        if not (path / FACTS).is_file():
            raise MissingFileError(
                f"Expected an index in {path}, with {FACTS}; none is there. Make one: "
                "keras-bert search --index DIR --model MODEL --input FILE."
            )
        try:
            facts = json.loads((path / FACTS).read_text(encoding="utf-8"))
            lines = (path / TEXTS).read_text(encoding="utf-8").split("\n")[:-1]
            texts = [json.loads(line) for line in lines]
            vectors = np.load(path / VECTORS, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError, RecursionError) as error:
            raise _damaged(path, str(error)) from error
        if not isinstance(facts, dict) or facts.get("version") != VERSION:
            found = facts.get("version") if isinstance(facts, dict) else facts
            raise _damaged(path, f"{FACTS} of version {str(found)[:40]}, not {VERSION}")
        if facts.get("similarity") not in SIMILARITIES:
            raise _damaged(path, f"similarity {str(facts.get('similarity'))[:40]}")
        floats = isinstance(vectors, np.ndarray) and vectors.dtype.kind == "f"
        if not floats or not all(isinstance(text, dict) for text in texts):
            raise _damaged(path, "vectors or texts of another kind")
        return cls(vectors, texts, facts["similarity"], facts)


def _damaged(path: Path, received: str) -> InputError:
    return InputError(
        f"Expected an index in {path}. Received: {received}. Make it again."
    )


def refuse_to_replace(path: Path, overwrite: bool) -> None:
    """Raises if something is there that an index must not replace.

    Args:
        path: of the directory.
        overwrite: whether an index may be replaced.

    Raises:
        ExistingOutputError: it may not.
    """
    there = path.exists() and (path.is_file() or any(path.iterdir()))
    if there and not (overwrite and (path / FACTS).is_file()):
        known = "an index" if (path / FACTS).is_file() else "something else"
        raise ExistingOutputError(
            f"Expected no directory at {path}. Received: {known}. Choose another one"
            + (", or pass --overwrite." if known == "an index" else ".")
        )
