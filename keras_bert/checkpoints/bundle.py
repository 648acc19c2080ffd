"""TensorFlow's checkpoint files, read and written without TensorFlow.

A "tensor bundle" is one `.index` and one or more `.data-00000-of-00001`. The index is
a sorted table in LevelDB's format: blocks of entries whose keys share prefixes, a block
of block handles, and a footer. A key is a tensor's name; its value has the data file,
offset, size and checksum. These are compared with the size of the files before anything
is allocated.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.h,
tensorflow/core/protobuf/tensor_bundle.proto, tensorflow/core/lib/io/table_format.txt.
"""

import itertools
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert.checkpoints import files, snappy
from keras_bert.checkpoints.checkpoint import PIECE, Tensor
from keras_bert.checksums import crc32c_of, masked, masked_crc32c
from keras_bert.errors import CheckpointError
from keras_bert.protobuf import message_classes, read_varint, varint

# The dtypes by TensorFlow's numbers (types.proto).
DTYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
NUMBERS = {name: number for number, name in DTYPES.items()}
STRING = 7
Message = message_classes(
    {
        "Version": [(1, "producer", "int32")],
        "Header": [
            (1, "num_shards", "int32"),
            (2, "endianness", "int32"),
            (3, "version", "Version"),
        ],
        "Dim": [(1, "size", "int64")],
        "Shape": [(2, "dim", "*Dim")],
        "Entry": [
            (1, "dtype", "int32"),
            (2, "shape", "Shape"),
            (3, "shard_id", "int32"),
            (4, "offset", "int64"),
            (5, "size", "int64"),
            (6, "crc32c", "fixed32"),
            (7, "slices", "*bytes"),
        ],
    }
)
NAMES_LIMIT = 1 << 27  # bytes of all names: shared prefixes could hide far more

MAGIC = 0xDB4775248B80FB57
FOOTER = 48  # two block handles, padded to 40 bytes, and the magic number
TRAILER = 5  # after each block: its compression and a checksum
BLOCK_SIZE = 1 << 18
# By the number after a block. TensorFlow writes plain ones; published files have both.
COMPRESSIONS = {0: bytes, 1: snappy.decompress}
RESTART = 16  # a key is written in full every 16 entries


@dataclass(frozen=True)
class Entry:
    """Where a tensor is stored.

    Args:
        dtype: TensorFlow's number.
        shape: its shape.
        shard: number of the data file.
        offset, size: of its bytes in that file.
        checksum: masked CRC-32C of these bytes.
    """

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int


def data_file(prefix: Path, shard: int, shards: int) -> Path:
    """Returns the path of a data file."""
    return Path(f"{prefix}.data-{shard:05d}-of-{shards:05d}")


# === Reading ===


def read(prefix: Path) -> dict[str, Tensor]:
    """Opens a bundle; a tensor is read, and its checksum compared, when it is used.

    Args:
        prefix: the path without `.index`.

    Returns:
        Tensors by name. Strings become object arrays of bytes; other dtypes that NumPy
        does not have are listed as objects, and an error when they are read.

    Raises:
        CheckpointError: the index is damaged or points outside its data files.

    Example:
        >>> read(Path("bert_model.ckpt"))  # doctest: +SKIP
    """
    index, data = Path(f"{prefix}.index"), prefix.parent.glob(f"{prefix.name}.data-*")
    try:
        with files.readable(prefix):
            shards, entries = read_index(index)
            _check(entries, shards, prefix)
    except CheckpointError:
        for path in (index, *data):
            files.refuse_other_kinds(path)
        raise
    return {
        name: _tensor(_Stored(name, entry, data_file(prefix, entry.shard, shards)))
        for name, entry in entries.items()
    }


def names(prefix: Path) -> list[str]:
    """Returns the names of a bundle's tensors; none if its index is damaged."""
    try:
        return [*read_index(Path(f"{prefix}.index"))[1]]
    except Exception:  # whatever the damage is: reading the tensors will report it
        return []


def read_index(path: Path) -> tuple[int, dict[str, Entry]]:
    """Reads an index file.

    Args:
        path: the `.index`.

    Returns:
        The number of data files, and entries by tensor name.

    Raises:
        CheckpointError: it is damaged or of a kind that cannot be read.
    """
    table = dict(_read_table(path.read_bytes()))
    header = Message["Header"].FromString(table.pop(b"", b""))
    if header.endianness:
        raise CheckpointError(
            f"Expected little-endian numbers in {path}. Received: big-endian."
        )
    return header.num_shards, {
        key.decode(): _entry(key.decode(), value, path) for key, value in table.items()
    }


def _entry(name: str, value: bytes, path: Path) -> Entry:
    message = Message["Entry"].FromString(value)
    if message.slices:
        raise CheckpointError(
            f"Expected whole tensors in {path}. Received {name} in slices, as "
            "partitioned variables are saved. Save it again without a partitioner."
        )
    shape = tuple(dim.size for dim in message.shape.dim)
    if min(*shape, message.shard_id, message.offset, message.size) < 0:
        raise ValueError(f"negative numbers for {name}")
    return Entry(
        message.dtype,
        shape,
        message.shard_id,
        message.offset,
        message.size,
        message.crc32c,
    )


def _check(entries: Mapping[str, Entry], shards: int, prefix: Path) -> None:
    """Raises unless the tensors are inside the data files and do not overlap."""
    sizes = {}
    for shard in {entry.shard for entry in entries.values()}:
        path = data_file(prefix, shard, shards)
        sizes[shard] = path.stat().st_size if path.is_file() else None
    ends: dict[int, int] = {}
    for name, entry in sorted(entries.items(), key=lambda x: _place(x[1])):
        problem = _problem(entry, sizes[entry.shard], ends.get(entry.shard, 0))
        if problem:
            raise CheckpointError(
                f"Expected {prefix}.index to describe its data files. Received for "
                f"{name}: {problem}. The file is damaged; copy it again."
            )
        ends[entry.shard] = entry.offset + entry.size


def _place(entry: Entry) -> tuple[int, int, int]:
    return entry.shard, entry.offset, entry.size


def _problem(entry: Entry, available: int | None, taken: int) -> str | None:
    end, values = entry.offset + entry.size, math.prod(entry.shape)
    rules = {
        f"shape {entry.shape} in {entry.size} bytes": entry.dtype in DTYPES
        and values * _dtype(entry).itemsize != entry.size,
        f"{values} strings in {entry.size} bytes": entry.dtype == STRING
        and values + 4 > entry.size,
        f"bytes {entry.offset} to {end}, shared with another tensor": bool(entry.size)
        and entry.offset < taken,
        # A checkpoint without its data files can still be described.
        f"bytes {entry.offset} to {end} of {available}": available is not None
        and end > available,
    }
    return next((text for text, holds in rules.items() if holds), None)


def _dtype(entry: Entry) -> np.dtype:
    known = DTYPES.get(entry.dtype)
    return np.dtype(object) if known is None else files.dtype(known)


def _tensor(stored: "_Stored") -> Tensor:
    entry = stored.entry
    if entry.dtype not in DTYPES:
        is_text = entry.dtype == STRING
        load = stored.strings if is_text else stored.refuse_dtype
        return Tensor(entry.shape, stored.dtype, load)
    part = stored.part if entry.shape else None
    return Tensor(entry.shape, stored.dtype, stored.load, part)


class _Stored:
    """A tensor in a data file; its checksum is compared the first time it is read.

    The file is not mapped into memory: mapped pages would count as memory in use until
    the end, and that would grow with the file.
    """

    def __init__(self, name: str, entry: Entry, path: Path):
        self.name, self.entry, self.path = name, entry, path
        self.dtype = _dtype(entry)
        self.verified = False

    def load(self) -> np.ndarray:
        raw = self.read(0, self.entry.size)
        self.verify([raw])
        return raw.view(self.dtype).reshape(self.entry.shape)

    def part(self, start: int, stop: int) -> np.ndarray:
        self.verify(self.pieces())
        shape = (stop - start, *self.entry.shape[1:])
        row = self.entry.size // self.entry.shape[0]
        return self.read(start * row, shape[0] * row).view(self.dtype).reshape(shape)

    def pieces(self) -> Iterator[np.ndarray]:
        for start in range(0, self.entry.size, PIECE):
            yield self.read(start, min(PIECE, self.entry.size - start))

    def read(self, start: int, size: int) -> np.ndarray:
        with files.readable(self.path):
            raw = np.fromfile(self.path, "u1", size, offset=self.entry.offset + start)
        return raw if raw.size == size else self.fail("the file ends before it")

    def verify(self, pieces: Iterable[np.ndarray]) -> None:
        if not self.verified and masked(crc32c_of(pieces)) != self.entry.checksum:
            self.fail("a wrong checksum")
        self.verified = True

    def strings(self) -> np.ndarray:
        """Reads lengths as varints, a checksum of these, then the strings."""
        data = self.read(0, self.entry.size).tobytes()
        lengths, at = [], 0
        for _ in range(math.prod(self.entry.shape)):
            length, at = read_varint(data, at)
            lengths.append(length)
        # The checksums are of the lengths as 32-bit numbers, not as varints.
        head = b"".join(struct.pack("<I", length) for length in lengths)
        stored = data[at : at + 4]
        texts = self.split(data, at + 4, lengths)
        if masked_crc32c(head) != stored:
            self.fail("a wrong checksum of lengths")
        self.verify([head, stored, *texts])
        return np.array([*texts, None], object)[:-1].reshape(self.entry.shape)

    def split(self, data: bytes, at: int, lengths: list[int]) -> list[bytes]:
        if at + sum(lengths) != len(data):
            self.fail(f"strings of {sum(lengths)} bytes in {len(data) - at}")
        ends = [at]
        for length in lengths:
            ends.append(ends[-1] + length)
        return [data[a:b] for a, b in itertools.pairwise(ends)]

    def refuse_dtype(self) -> Any:
        raise CheckpointError(
            f"Expected {self.name} in {self.path} with one of the dtypes "
            f"{', '.join(NUMBERS)}. Received: TensorFlow's number {self.entry.dtype}."
        )

    def fail(self, what: str) -> Any:
        raise CheckpointError(
            f"Expected {self.name} in {self.path} as its index describes it. Received: "
            f"{what}. The file is damaged; copy it again."
        )


# === Tables ===


def _read_table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields keys and values of an index file, in order."""
    if len(data) < FOOTER or struct.unpack("<Q", data[-8:])[0] != MAGIC:
        raise ValueError(
            "not an index of a TensorFlow checkpoint, or only a part of one"
        )
    handles = data[-FOOTER:]
    _, at = _handle(handles, 0)
    index, _ = _handle(handles, at)
    last, total = None, 0
    for _, handle in _entries(_block(data, *index)):
        for key, value in _entries(_block(data, *_handle(handle, 0)[0])):
            total += len(key)
            if total > NAMES_LIMIT or (last is not None and key <= last):
                raise ValueError("names out of order, or too many")
            last = key
            yield key, value


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = read_varint(data, at)
    size, at = read_varint(data, at)
    return (offset, size), at


def _block(data: bytes, offset: int, size: int) -> bytes:
    end = offset + size
    if end + TRAILER > len(data):
        raise ValueError("a block outside the index")
    if masked_crc32c(data[offset : end + 1]) != data[end + 1 : end + TRAILER]:
        raise ValueError("a block with a wrong checksum")
    if data[end] not in COMPRESSIONS:
        raise ValueError(f"a block with the unknown compression {data[end]}")
    return COMPRESSIONS[data[end]](data[offset:end])


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    restarts = struct.unpack("<I", block[-4:])[0]
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise ValueError("a malformed block")
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        own, at = read_varint(block, at)
        size, at = read_varint(block, at)
        if shared > len(key) or at + own + size > end:
            raise ValueError("a malformed entry")
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + size]
        at += own + size


# === Writing ===


def write(
    prefix: Path, tensors: Mapping[str, Tensor], max_shard_size: int | None = None
) -> None:
    """Writes a bundle, tensor by tensor, as `tf.train.Saver` does.

    Args:
        prefix: the path without `.index`.
        tensors: by name; arrays of dtype object are strings.
        max_shard_size: maximum bytes of a data file, unless a single tensor is
            larger; None writes one file.

    Raises:
        CheckpointError: TensorFlow's checkpoints do not have a dtype.

    Example:
        >>> import tempfile
        >>> prefix = Path(tempfile.mkdtemp()) / "model.ckpt"
        >>> write(prefix, {"b": Tensor.of(np.zeros(3)), "a": Tensor.of(np.ones(2))})
        >>> read(prefix)["a"].load()
        array([1., 1.])
    """
    sizes = {name: tensors[name].nbytes for name in sorted(tensors)}
    shards = files.shards(sizes, max_shard_size)
    entries = {}
    for shard, names in enumerate(shards):
        path = data_file(prefix, shard, len(shards))
        with open(path, "wb") as file:
            size = sum(sizes[name] for name in names)
            for name in files.progress(names, f"writing {path.name}", size):
                entries[name] = _put(file, name, tensors[name], shard)
    _write_index(Path(f"{prefix}.index"), len(shards), entries)


def _put(file: Any, name: str, tensor: Tensor, shard: int) -> Entry:
    offset = file.tell()
    if tensor.dtype == object:
        number, checksum = STRING, _put_strings(file, tensor.load())
    else:
        number, checksum = _number_of(name, tensor), _put_numbers(file, tensor)
    size = file.tell() - offset
    return Entry(number, tensor.shape, shard, offset, size, checksum)


def _number_of(name: str, tensor: Tensor) -> int:
    if tensor.dtype.name not in NUMBERS:
        raise CheckpointError(
            f"Expected one of the dtypes {', '.join(NUMBERS)} for {name}. "
            f"Received: {tensor.dtype.name}."
        )
    return NUMBERS[tensor.dtype.name]


def _put_numbers(file: Any, tensor: Tensor) -> int:
    def written() -> Iterator[memoryview]:
        for piece in tensor.pieces():
            raw = files.raw(piece)
            file.write(raw)
            yield raw

    return masked(crc32c_of(written()))


def _put_strings(file: Any, values: np.ndarray) -> int:
    texts = [bytes(value) for value in values.ravel().tolist()]
    head = b"".join(struct.pack("<I", len(text)) for text in texts)
    checksum = masked_crc32c(head)
    file.write(b"".join(varint(len(text)) for text in texts) + checksum)
    file.write(b"".join(texts))
    return masked(crc32c_of([head, checksum, *texts]))


def _write_index(path: Path, shards: int, entries: Mapping[str, Entry]) -> None:
    header = Message["Header"](num_shards=shards, version={"producer": 1})
    table = {b"": header.SerializeToString()}
    table |= {name.encode(): _entry_message(entry) for name, entry in entries.items()}
    path.write_bytes(_write_table(sorted(table.items())))


def _entry_message(entry: Entry) -> bytes:
    message = Message["Entry"](
        dtype=entry.dtype,
        shape={"dim": [{"size": size} for size in entry.shape]},
        shard_id=entry.shard,
        offset=entry.offset,
        size=entry.size,
        crc32c=entry.checksum,
    )
    return message.SerializeToString()


def _write_table(items: Iterable[tuple[bytes, bytes]]) -> bytes:
    data, handles = b"", []
    block = _Block(RESTART)
    for key, value in items:
        if block.size >= BLOCK_SIZE:
            handles.append((_between(block.key, key), len(data), block.size))
            data, block = data + block.finish(), _Block(RESTART)
        block.add(key, value)
    handles.append((_after(block.key), len(data), block.size))
    data += block.finish()
    metaindex, index = _Block(RESTART), _Block(1)
    for key, offset, size in handles:
        index.add(key, varint(offset) + varint(size))
    footer = b"".join(
        varint(number)
        for number in (
            len(data),
            metaindex.size,
            len(data) + metaindex.size + TRAILER,
            index.size,
        )
    )
    footer = footer.ljust(FOOTER - 8, b"\0") + struct.pack("<Q", MAGIC)
    return data + metaindex.finish() + index.finish() + footer


class _Block:
    """A block of entries whose keys leave out what they share with the previous one."""

    def __init__(self, interval: int):
        self.interval = interval
        self.data = bytearray()
        self.restarts = [0]
        self.count = 0
        self.key = b""

    @property
    def size(self) -> int:
        return len(self.data) + 4 * (len(self.restarts) + 1)

    def add(self, key: bytes, value: bytes) -> None:
        shared = _shared(self.key, key)
        if self.count == self.interval:
            self.restarts.append(len(self.data))
            self.count = shared = 0
        for number in (shared, len(key) - shared, len(value)):
            self.data += varint(number)
        self.data += key[shared:] + value
        self.count += 1
        self.key = key

    def finish(self) -> bytes:
        numbers = [*self.restarts, len(self.restarts)]
        block = bytes(self.data) + struct.pack(f"<{len(numbers)}I", *numbers) + b"\0"
        return block + masked_crc32c(block)


def _shared(one: bytes, other: bytes) -> int:
    pairs = zip(one, other, strict=False)
    length = min(len(one), len(other))
    return next((i for i, (a, b) in enumerate(pairs) if a != b), length)


def _between(one: bytes, other: bytes) -> bytes:
    """Returns a short key that is at least `one` and less than `other`."""
    i = _shared(one, other)
    if i < min(len(one), len(other)) and one[i] + 1 < other[i]:
        return one[:i] + bytes([one[i] + 1])
    return one


def _after(key: bytes) -> bytes:
    """Returns a short key that is at least `key`."""
    i = next((i for i, byte in enumerate(key) if byte != 255), None)
    return key if i is None else key[:i] + bytes([key[i] + 1])
