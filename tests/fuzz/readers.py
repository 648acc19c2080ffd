"""Every reader of files and of requests, with good files to begin from."""

import contextlib
import gzip
import importlib
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_bert.checksums import masked_crc32c
from keras_bert.errors import KerasBertError
from keras_bert.protobuf import message_classes
from tests.fuzz import inputs
from tests.fuzz.mutations import mutated, mutated_json, with_json_header
from tests.paths import SHARED

Mutation = Callable[[bytes, random.Random], bytes]


class Reader(NamedTuple):
    """What is read.

    Attributes:
        make: writes good files into a directory.
        read: reads them; it may raise errors of the package.
        files: patterns of the files that are changed.
        further: changes that leave checksums right, by the suffix of a file.
    """

    make: Callable[[Path], None]
    read: Callable[[Path], Any]
    files: tuple[str, ...] = ("*",)
    further: dict[str, Mutation] = {}  # noqa: RUF012

    def mutant(self, files: dict[str, bytes], rng: random.Random) -> tuple[str, bytes]:
        """Returns the name and the contents of the one file that is changed."""
        name = rng.choice(sorted(files))
        kinds = [mutated]
        if (special := self.further.get(Path(name).suffix)) is not None:
            kinds = [mutated, special, special]
        return name, rng.choice(kinds)(files[name], rng)


# === Changes that leave checksums right ===


def in_records(data: bytes, rng: random.Random) -> bytes:
    """Changes one record, in a frame that fits."""
    records, at = [], 0
    while at < len(data):
        (size,) = struct.unpack("<Q", data[at : at + 8])
        records.append(data[at + 12 : at + 12 + size])
        at += 16 + size
    chosen = rng.randrange(len(records))
    records[chosen] = rng.choice((mutated, in_example))(records[chosen], rng)
    return b"".join(_framed(record) for record in records)


Message = message_classes(
    {
        "Bytes": [(1, "value", "*bytes")],
        "Floats": [(1, "value", "*float")],
        "Integers": [(1, "value", "*int64")],
        "Feature": [(1, "bytes", "Bytes"), (2, "f", "Floats"), (3, "i", "Integers")],
        "Entry": [(1, "key", "string"), (2, "value", "Feature")],
        "Features": [(1, "feature", "*Entry")],
        "Example": [(1, "features", "Features")],
    }
)


def in_example(record: bytes, rng: random.Random) -> bytes:
    """Changes a feature of an example."""
    example = Message["Example"].FromString(record)
    entries = example.features.feature
    entry, other = rng.choice(entries), rng.choice(entries)
    kind = next((k for k in ("bytes", "f", "i") if entry.value.HasField(k)), "i")
    values = getattr(entry.value, kind).value
    new = {
        "bytes": b"ab",
        "f": float("nan"),
        "i": rng.choice((-1, 9, 2**20, 2**63 - 1)),
    }
    action = rng.randrange(6)
    if action == 0:
        entries.remove(entry)
    elif action == 1:
        entry.key = other.key
    elif action == 2:
        entry.value.CopyFrom(other.value)
    elif action == 3:
        entry.value.Clear()
        chosen = rng.choice(("bytes", "f", "i"))
        getattr(entry.value, chosen).value.append(new[chosen])
    elif action == 4 or not values:
        values.append(new[kind])
    else:
        place = rng.randrange(len(values))
        value = mutated(values[place], rng) if kind == "bytes" else new[kind]
        values[place] = value
    return example.SerializeToString()


def _framed(record: bytes) -> bytes:
    length = struct.pack("<Q", len(record))
    return length + masked_crc32c(length) + record + masked_crc32c(record)


def in_gzip(data: bytes, rng: random.Random) -> bytes:
    change = rng.choice((mutated, in_records, _zeros))
    return gzip.compress(change(gzip.decompress(data), rng), 1, mtime=0)


def _zeros(data: bytes, rng: random.Random) -> bytes:
    """Returns far more than there was."""
    return data + bytes(rng.choice((10**5, 10**6)))


def in_zip(data: bytes, rng: random.Random) -> bytes:
    """Changes one entry of an archive, with a checksum that fits."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    pickled = [name for name in entries if name.endswith(("data.pkl", ".npy"))]
    name = rng.choice([*entries, *pickled * 3])
    entries[name] = mutated(entries[name], rng)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return packed.getvalue()


def in_table(data: bytes, rng: random.Random) -> bytes:
    """Changes one entry of a TensorFlow index, in a table that fits."""
    from keras_bert.checkpoints import bundle

    entries = dict(bundle._read_table(data))
    key = rng.choice(sorted(entries))
    value = mutated(entries.pop(key), rng)
    entries[rng.choice((key, key, mutated(key, rng)))] = value
    return bundle._write_table(sorted(entries.items()))


JSON = {".json": mutated_json}

# === Checkpoints ===


def _read_checkpoint(folder: Path) -> None:
    from keras_bert.checkpoints import formats
    from keras_bert.checkpoints.matching import resolve_contents

    checkpoint = formats.read(folder)
    for tensor in (*checkpoint.tensors.values(), *checkpoint.optimizer.values()):
        tensor.load()
    with contextlib.suppress(KerasBertError):  # the weights are read without it, too
        resolve_contents(checkpoint)


def _fake(to: str, head: str = "BertForPreTraining", **options) -> Callable:
    def make(folder: Path) -> None:
        from keras_bert.checkpoints.conversion import save
        from tests.checkpoints.fakes import config_for, fake_tensors

        config = config_for(head, to, num_hidden_layers=1)
        save(folder, to, config, head, fake_tensors(config, head, to), **options)

    return make


def _old_torch(folder: Path) -> None:
    """The format before PyTorch 1.6, which is no archive."""
    import torch

    _fake("huggingface", file_format="bin")(folder)
    file = folder / "pytorch_model.bin"
    state = torch.load(file, weights_only=True)
    torch.save(state, file, _use_new_zipfile_serialization=False)


# Good files that only the original can write, by reader.
GOLDENS = {"tf_model.h5": SHARED / "goldens/hf457_tf_seqcls_h5"}


def _transformers_h5(folder: Path) -> None:
    for file in GOLDENS["tf_model.h5"].glob("*"):
        (folder / file.name).write_bytes(file.read_bytes())


def _read_config(folder: Path) -> None:
    from keras_bert import families
    from keras_bert.config import read_json_file

    def read(file: Path) -> None:
        families.read_config(read_json_file(file)).to_json_string()

    _each(folder.glob("*.json"), read)


def _each(files: Iterable[Path], read: Callable[[Path], Any]) -> None:
    """Reads files of which one may be refused, which is raised at the end."""
    refusals = []
    for file in files:
        try:
            read(file)
        except KerasBertError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]


def _configs(folder: Path) -> None:
    import keras_bert

    for name in ("Bert", "Roberta", "DistilBert"):
        config = getattr(keras_bert, f"{name}Config")(vocab_size=37)
        (folder / f"{name}.json").write_text(config.to_json_string())


def _read_training(folder: Path) -> None:
    from keras_bert.training.checkpointing import Checkpoints
    from keras_bert.training.monitoring import kept_lines

    Checkpoints(folder, keep=1, writes=False).newest()
    kept_lines(folder / "metrics.jsonl", 9)


def _training(folder: Path) -> None:
    from keras_bert.training.checkpointing import Checkpoints

    with Checkpoints(folder, keep=1) as checkpoints:
        checkpoints.save(3, {"a": np.ones((5, 7), "f4"), "b": np.array(2)}, {"c": [1]})
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 2.5}\n' * 3)


# === Tokenizers and tables ===


def _tokenizer_files(folder: Path) -> None:
    tokenizer = inputs.tokenizer()
    tokenizer.save_pretrained(folder)
    special = {"cls_token": "[CLS]", "mask_token": {"content": "[MASK]"}}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    (folder / "added_tokens.json").write_text(json.dumps({"<e1>": 42}))


def _read_tokenizer(folder: Path) -> None:
    from keras_bert import BertTokenizer

    text = "ab [MASK] <e1> \u00c9\u4e2d x"

    def read(place: Path) -> None:
        tokenizer = BertTokenizer.from_pretrained(place)
        tokenizer([text], [text], max_length=9, return_offsets_mapping=True)

    _each((folder, folder / "tokenizer.json", folder / "vocab.txt"), read)


NAMES = ("text", "text_pair", "label")
ROWS = [(f"a {word}, {word}", word, "yn"[i % 2]) for i, word in enumerate("abcdef")]


def _parquet(folder: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = dict(zip(NAMES, map(list, zip(*ROWS, strict=True)), strict=True))
    table = pyarrow.table({**columns, "labels": [[row[2]] for row in ROWS]})
    parquet.write_table(table, folder / "a.parquet", write_page_checksum=True)


def _tables(folder: Path) -> None:
    names, rows = NAMES, ROWS
    lines = [names, *rows]
    (folder / "a.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))
    quoted = ",".join('"{}"' for _ in names)
    (folder / "a.csv").write_text("".join(quoted.format(*x) + "\n" for x in lines))
    objects = (json.dumps(dict(zip(names, row, strict=True))) for row in rows)
    (folder / "a.jsonl").write_text("".join(f"{line}\n" for line in objects))


def _read_tables(folder: Path) -> None:
    from keras_bert.tasks import read_examples

    _each(folder.iterdir(), partial(read_examples, text_pair="text_pair"))


def _in_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    chosen = rng.randrange(len(lines))
    lines[chosen] = mutated_json(lines[chosen], rng) + b"\n"
    return b"".join(lines)


# === Records ===


def _records(name: str, **settings) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        from keras_bert.pretraining.create import create_pretraining_data
        from keras_bert.pretraining.settings import DataSettings

        inputs.text(folder)
        settings_ = DataSettings(
            max_seq_length=24, max_predictions_per_seq=4, dupe_factor=1, **settings
        )
        create_pretraining_data(
            *(folder / "text.txt", folder / name, inputs.tokenizer(), settings_),
            progress=False,
        )
        (folder / "text.txt").unlink()

    return make


def _read_records(folder: Path) -> None:
    from keras_bert.pretraining.numpy_reading import RecordBatches

    for file in folder.iterdir():
        options = {"shuffle": False, "repeat": False}
        batches = RecordBatches(file, 4, tokenizer=inputs.tokenizer(), **options)
        for step in range(1, len(batches) + 1):
            batches(step)


def _requests(name: str) -> Callable[[Path], Any]:
    """Returns a function of a module that needs TensorFlow."""

    def call(folder: Path) -> Any:
        return getattr(importlib.import_module("tests.fuzz.requests"), name)(folder)

    return call


def in_message(data: bytes, rng: random.Random) -> bytes:
    """Changes a field of a request."""
    return importlib.import_module("tests.fuzz.requests").in_message(data, rng)


READERS = {
    "TensorFlow checkpoint": Reader(
        _fake("google"),
        _read_checkpoint,
        ("*ckpt*", "checkpoint"),
        {".index": in_table},
    ),
    "TensorFlow 2 checkpoint": Reader(
        _fake("model_garden", "BertForMaskedLM"),
        _read_checkpoint,
        ("*ckpt*",),
        {".index": in_table},
    ),
    "safetensors": Reader(
        _fake("huggingface"),
        _read_checkpoint,
        ("*.safetensors",),
        {".safetensors": with_json_header},
    ),
    "shards and index": Reader(
        _fake("huggingface", max_shard_size=8_000),
        _read_checkpoint,
        ("*.index.json", "*.index.json", "*00001-of*"),
        {".safetensors": with_json_header, **JSON},
    ),
    "pytorch_model.bin": Reader(
        _fake("huggingface", file_format="bin"),
        _read_checkpoint,
        ("*.bin",),
        {".bin": in_zip},
    ),
    "pytorch_model.bin before 1.6": Reader(_old_torch, _read_checkpoint, ("*.bin",)),
    "model.weights.h5": Reader(_fake("keras"), _read_checkpoint, ("*.h5",)),
    "KerasHub preset": Reader(
        _fake("keras_hub", "BertModel"), _read_checkpoint, ("*.h5", "*.json"), JSON
    ),
    "tf_model.h5": Reader(_transformers_h5, _read_checkpoint, ("*.h5",)),
    "configs": Reader(_configs, _read_config, ("*.json",), JSON),
    "tokenizer files": Reader(_tokenizer_files, _read_tokenizer, ("*",), JSON),
    "tables": Reader(_tables, _read_tables, ("*",), {".jsonl": _in_lines}),
    **({"Parquet": Reader(_parquet, _read_tables)} if find_spec("pyarrow") else {}),
    "records": Reader(
        _records("r.tfrecord"), _read_records, ("*",), {".tfrecord": in_records}
    ),
    "records in gzip": Reader(
        _records("r.tfrecord.gz"), _read_records, ("*",), {".gz": in_gzip}
    ),
    "compact records": Reader(
        _records("r.tfrecord", form="compact", pieces_per_row=2),
        _read_records,
        ("*",),
        {".tfrecord": in_records},
    ),
    "training checkpoints": Reader(
        _training, _read_training, ("step-3/*", "*.jsonl"), {".npz": in_zip, **JSON}
    ),
    "HTTP bodies": Reader(_requests("make_http"), _requests("read_http"), ("*",), JSON),
    "gRPC messages": Reader(
        _requests("make_grpc"), _requests("read_grpc"), ("*",), {".pb": in_message}
    ),
}
