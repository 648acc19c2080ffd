"""Writes `golden_transformers.npz`: what transformers makes of `folders`.

Run `python -m tests.tokenization.make_golden` with transformers 5 installed. Of the
first texts it holds ids and offsets, of all of them a checksum.
"""

import tempfile
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from tests.tokenization import folders

FILE = Path(__file__).with_name("golden_transformers.npz")
TEXTS, WHOLE = 2000, 50


def encoded(batch: Any, length: int) -> list[np.ndarray]:
    """Returns ids, begins and ends of each text, int32 `(tokens, 3)`."""
    return [
        np.column_stack([batch["input_ids"][i], batch["offset_mapping"][i]]).astype(
            "<i4"
        )
        for i in range(length)
    ]


def checksums(rows: list[np.ndarray]) -> np.ndarray:
    """Returns a checksum of the tokens of each text, uint32 `(texts,)`."""
    return np.array([crc32(row.tobytes()) for row in rows], np.uint32)


def by_transformers(files: dict[str, Any], texts: list[str]) -> list[np.ndarray]:
    """Returns the tokens that transformers makes of texts."""
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        folders.write(Path(folder), files)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(texts, truncation=False, return_offsets_mapping=True)
    return encoded(batch, len(texts))


def main() -> None:
    """Writes the file."""
    texts, arrays = folders.texts(TEXTS), {}
    for name, files in folders.variants().items():
        rows = by_transformers(files, texts)
        arrays[f"{name}|checksums"] = checksums(rows)
        arrays[f"{name}|lengths"] = np.array([len(r) for r in rows[:WHOLE]], np.int16)
        arrays[f"{name}|tokens"] = np.concatenate(rows[:WHOLE]).astype(np.int16)
    np.savez_compressed(FILE, **arrays)
    print(f"Wrote {FILE}: {FILE.stat().st_size:,} bytes.")


if __name__ == "__main__":
    main()
