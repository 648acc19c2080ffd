"""What README and docs show runs as it stands, and prints what they say.

A block that a test cannot run has a comment before it in the page, `<!-- not run:
reason -->`; it is skipped here, with that reason.
"""

import os
import re
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

import keras_bert
from keras_bert import BertConfig, BertTokenizer
from keras_bert.families.rows import Placement, Row
from tests.checkpoints.fakes import write_fake, write_trained
from tests.cli.calling import call
from tests.paths import ROOT
from tests.project.documents import Reader, Servers, blocks_of
from tests.vocabulary import SPECIAL

PAGES = ["README.md", *(f"docs/{p.name}" for p in sorted(ROOT.glob("docs/*.md")))]
BLOCKS = {page: blocks_of(page) for page in PAGES}
(TEN_LINES,) = (b for b in BLOCKS["README.md"] if b.language == "python")
SLOW = tuple(
    f"docs/{name}.md"
    for name in ("training", "serving", "runtimes", "tables", "tasks", "migrating")
)
SENTENCES = ["What a film.", "Not again.", "It rains.", "The street is wet."]

# So that what takes hours on a corpus takes seconds on the files below.
SMALLER = {
    "--vocab-size 30522": "--vocab-size 150",
    "--workers 8": "--workers 1",
    "--steps 10000 --warmup-steps 1000": "--steps 4 --warmup-steps 2",
    "--steps 1000000 --warmup-steps 10000": "--steps 22",  # from step 20 on
    "--evaluate-every 500": "--evaluate-every 2",
    "--batch-size 64": "",
    "--model tiny": "--model tiny.json --batch-size 4",
    "--init start/": "--init start/ --batch-size 4",
    "--recipe bert-tiny": "--recipe bert-tiny --dry-run --no-estimate",
    "steps=10_000, warmup_steps=1000": "steps=4, warmup_steps=2",
    '"records/*", 64': '"records/*", 4',
    "keras-bert bench": 'keras-bert bench --only "ONNX Runtime float32"',
    ' --only "SavedModel" "OpenVINO bfloat16"': "",
}


# === What a page takes as given ===


def _corpus(folder: Path) -> None:
    (folder / "corpus").mkdir()
    for name, turn in (("a", 0), ("b", 1)):
        lines = [*SENTENCES[turn:], *SENTENCES[:turn]]
        text = "\n\n".join("\n".join(lines) for _ in range(9))
        (folder / "corpus" / f"{name}.txt").write_text(text + "\n")


def _tokenizer() -> BertTokenizer:
    characters = sorted({c for text in SENTENCES for c in text.lower() if c != " "})
    pieces = [f"##{c}" for c in characters if c.isalpha()]
    return BertTokenizer([*SPECIAL, *characters, *pieces])


def _config(**changes: Any) -> BertConfig:
    sizes = dict(vocab_size=8000, hidden_size=12, num_hidden_layers=1)
    sizes |= dict(num_attention_heads=3, intermediate_size=14)
    return BertConfig(**sizes | dict(max_position_embeddings=128) | changes)


def _tables(folder: Path) -> None:
    rows = [f"{text}\t{number % 2}" for number, text in enumerate(SENTENCES)]
    for name in ("train", "dev", "test"):
        table = "\n".join(["text\tlabel", *rows])
        (folder / f"{name}.tsv").write_text(table + "\n")
    (folder / "CoLA").mkdir()
    rows = [f"gj04\t{n % 2}\t*\t{text}\n" for n, text in enumerate(SENTENCES)]
    (folder / "CoLA" / "train.tsv").write_text("".join(rows))
    rows = [f'{n},"{text}"\n' for n, text in enumerate(SENTENCES)]
    (folder / "reviews.csv").write_text("key,review\n" + "".join(rows))
    (folder / "reviews.txt").write_text("\n".join(SENTENCES) + "\n")
    lines = [f'{{"text": "{text}"}}' for text in SENTENCES]
    (folder / "reviews.jsonl").write_text("\n".join(lines) + "\n")


def _glue(folder: Path) -> None:
    """SST-2 as published, and a model to train on it."""
    (place := folder / "glue_data" / "SST-2").mkdir(parents=True)
    rows = [f"{text}\t{number % 2}" for number, text in enumerate(SENTENCES)]
    for name in ("train", "dev"):
        (place / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    rows = [f"{number}\t{text}" for number, text in enumerate(SENTENCES)]
    (place / "test.tsv").write_text("\n".join(["index\tsentence", *rows]) + "\n")
    size = _tokenizer().vocab_size
    model = keras_bert.BertForPreTraining(_config(vocab_size=size), seed=1)
    model.save_pretrained(folder / "bert-base-uncased", tokenizer=_tokenizer())


def _checkpoints(folder: Path) -> None:
    write_fake(folder / "uncased_L-12_H-768_A-12", "google")
    write_fake(folder / "bert-base-uncased", "huggingface")
    sizes = {"vocab_size": 150, "max_position_embeddings": 64}
    trained = write_trained(folder / "trained", **sizes)
    for file in trained.glob("bert_model.ckpt.*"):
        for prefix in ("model.ckpt-20", "bert_model.ckpt-900000"):
            name = file.name.replace("bert_model.ckpt", prefix)
            shutil.copy(file, folder / name)
    shutil.move(trained / "bert_config.json", folder)


def _classifier(folder: Path) -> dict[str, Any]:
    """Two runs, of one model that finds everything positive."""
    labels = {0: "negative", 1: "positive"}
    model = keras_bert.BertForSequenceClassification(_config(id2label=labels), seed=1)
    model.classifier.bias.assign([-9.0, 9.0])
    for run in ("sentiment", "sst2/model"):
        model.save_pretrained(folder / "runs" / run, tokenizer=_tokenizer())
    return {"model": model, "tokenizer": _tokenizer(), "keras_bert": keras_bert}


RECORDS = (
    ("records/part@2", 32, 4),
    ("heldout.tfrecord", 32, 4),
    ("r128/part", 128, 20),
    ("r512/part", 512, 77),
)


def _records(folder: Path) -> dict[str, Any]:
    _tokenizer().save_pretrained(folder / "tokenizer")
    size = _tokenizer().vocab_size
    config = _config(vocab_size=size)
    (folder / "tiny.json").write_text(config.to_json_string())
    for name, length, predictions in RECORDS:
        (folder / name).parent.mkdir(exist_ok=True)
        done = call(
            *("data", "--input-file", "corpus/*.txt", "--output-file", name),
            *("--vocab-file", "tokenizer", "--max-seq-length", length),
            *("--max-predictions-per-seq", predictions),
        )
        assert not done.status, done.err
    return {"config": config}


def _model(folder: Path) -> dict[str, Any]:
    model = keras_bert.BertModel(_config())
    return {"model": model, "Row": Row, "Placement": Placement}


def _embedder(folder: Path) -> None:
    """A tiny model where the page has all-MiniLM-L6-v2."""
    model = keras_bert.SentenceEncoder(_config(vocab_size=150), seed=1)
    model.save_pretrained(folder / "MiniLM", tokenizer=_tokenizer())


GIVEN = {
    "README.md": (_checkpoints,),
    "docs/checkpoints.md": (_checkpoints, _model),
    "docs/embeddings.md": (_embedder,),
    "docs/runtimes.md": (_classifier,),
    "docs/serving.md": (_classifier,),
    "docs/tables.md": (_checkpoints, _classifier),
    "docs/tasks.md": (_glue,),
    "docs/training.md": (_checkpoints, _records),
}


def _given(page: str, folder: Path) -> dict[str, Any]:
    """Makes the files that a page takes as given; returns what Python has."""
    for name in ("converters", "benchmarks", "docs"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "tiny.json").write_text(_config(vocab_size=150).to_json_string())
    names: dict[str, Any] = {"__name__": "page"}
    for make in (_corpus, _tables, *GIVEN.get(page, ())):
        names |= make(folder) or {}
    return names


def _ports() -> dict[str, str]:
    """Replaces the ports of the pages by free ones."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("", 0)), other.bind(("", 0))
        rest, grpc = one.getsockname()[1], other.getsockname()[1]
    return {
        "keras-bert serve": f"keras-bert serve --port {rest} --grpc-port {grpc}",
        "localhost:8501": f"localhost:{rest}",
        "localhost:8500": f"localhost:{grpc}",
        'Client("localhost"': f'Client("localhost:{rest}"',
    }


# === Tests ===


def _marked(page: str):
    return pytest.param(page, marks=[pytest.mark.slow] if page in SLOW else [])


RUN = [page for page in PAGES if any(not b.reason for b in BLOCKS[page])]


@pytest.mark.parametrize("page", map(_marked, RUN))
def test_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    bin = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{bin}{os.pathsep}{os.environ['PATH']}")
    servers = Servers(monkeypatch)
    reader = Reader(SMALLER | _ports(), _given(page, tmp_path), servers)
    try:
        for block in BLOCKS[page]:
            if not block.reason and block is not TEN_LINES:
                reader.run(block)
    finally:
        servers.stop()


LEFT_OUT = [block for blocks in BLOCKS.values() for block in blocks if block.reason]


@pytest.mark.parametrize("block", LEFT_OUT, ids=lambda block: block.place)
def test_a_block_is_not_run(block):
    pytest.skip(block.reason)


def test_the_ten_lines_run_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reader = Reader({}, {}, Servers(monkeypatch))
    reader.run(TEN_LINES)
    reader.run(TEN_LINES)


def test_every_replacement_is_of_something():
    code = "".join(block.text for blocks in BLOCKS.values() for block in blocks)
    assert [text for text in SMALLER if text not in code] == []


def test_no_block_goes_unseen():
    text = "\n".join((ROOT / page).read_text("utf-8") for page in PAGES)
    languages = set(re.findall(r"^ *```(\w+)", text, re.M))
    assert languages <= {"bash", "python", "json", "text", "diff"}
    seen = sum(len(blocks) for blocks in BLOCKS.values())
    assert len(re.findall(r"^ *```(?:bash|python)$", text, re.M)) == seen
