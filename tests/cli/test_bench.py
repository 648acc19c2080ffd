"""`keras-bert bench`: the table, its figures, and what is missing."""

import json

import numpy as np
import pytest

from keras_bert.cli import main
from keras_bert.extras import EXTRAS
from keras_bert.serving.runtimes import measuring
from keras_bert.serving.runtimes.benchmark import VARIANTS, Work, random_rows
from keras_bert.serving.runtimes.running import Session
from tests.bounds import bound
from tests.extras import needs
from tests.paths import ROOT
from tests.serving.cases import TEXTS


def test_one_runtime_in_its_own_process(checkpoint, tmp_path, capsys):
    needs("onnx", "onnxruntime")
    texts, output = tmp_path / "texts.txt", tmp_path / "out.json"
    texts.write_text("\n".join(TEXTS))
    only = ["--only", "ONNX Runtime float32", "--text", str(texts)]
    assert main(["bench", "--model", checkpoint, *only, "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "4 rows of 5 tokens on average, 7 at most" in printed
    assert max(map(len, printed.split("\n"))) <= 100
    [row] = json.loads(output.read_text())["results"]
    assert (row["runtime"], row["precision"]) == ("ONNX Runtime", "float32")
    assert row["difference"] <= bound()
    assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
    assert row["tokens_per_s"] > 0 and row["tokens_per_cpu_s"] > 0
    # The runtime's own memory: Keras and TensorFlow are not in it.
    assert 20e6 < row["memory"] < 400e6
    # Neither is asked for again when it is there.
    assert main(["bench", "--model", checkpoint, *only, "--output", str(output)]) == 2


@pytest.mark.slow
def test_every_runtime_installed(checkpoint, capsys, tmp_path):
    output = tmp_path / "out.json"
    run = ["bench", "--model", checkpoint, "--rows", "9", "--max-length", "17"]
    assert main([*run, "--output", str(output)]) == 0
    results = json.loads(output.read_text())["results"]
    assert len(results) == sum(not variant.missing for variant in VARIANTS)
    assert [row.get("error") for row in results] == [None] * len(results)
    exact = [row for row in results if row["precision"] == "float32"]
    assert exact and all(row["difference"] <= bound() for row in exact)


def test_missing_runtimes_are_told_with_their_extra(checkpoint, capsys, monkeypatch):
    from keras_bert.serving.runtimes import benchmark

    monkeypatch.setattr(benchmark, "installed", lambda package: False)
    assert main(["bench", "--model", checkpoint, "--only", "OpenVINO", "LiteRT"]) == 0
    printed = capsys.readouterr().out
    assert "OpenVINO bfloat16          pip install 'bert-for-keras[onnx,openvino]'" in (
        printed
    )
    assert "LiteRT float32             pip install 'bert-for-keras[litert]'" in printed


def test_wrong_arguments(checkpoint, capsys, tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "gbk.txt").write_bytes("今天天气".encode("gb18030"))
    for arguments, said in (
        (["--only", "ORT"], "ONNX Runtime float32"),
        (["--text", str(tmp_path / "none.txt")], "none is there"),
        (["--text", str(tmp_path / "empty.txt")], "empty lines"),
        (["--text", str(tmp_path / "gbk.txt")], "(--encoding gb18030)"),
    ):
        assert main(["bench", "--model", checkpoint, *arguments]) == 2
        assert said in capsys.readouterr().err


def test_rows_are_drawn_and_padded():
    rows = random_rows(50, 99, median=20, longest=31, seed=3)
    assert rows == random_rows(50, 99, median=20, longest=31, seed=3)
    lengths = [len(row) for row in rows]
    assert max(lengths) == 31 and min(lengths) >= 4 and 15 < np.median(lengths) < 25
    assert all(0 < token < 99 for row in rows for token in row)
    work = Work.of_rows(rows, 16)
    assert [len(batch["input_ids"]) for batch in work.batches] == [16, 16, 16, 2]
    assert sum(batch["attention_mask"].sum() for batch in work.batches) == sum(lengths)
    [first] = work.rows(1)
    assert first["input_ids"][0].tolist() == rows[0]


def test_figures_count_real_tokens_alone(monkeypatch):
    calls = []
    clock = iter(range(1000))
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(measuring.time, "process_time", lambda: 0.5 * next(clock))
    work = Work.of_rows([[1, 2, 3], [4]], 2)
    run = Session(lambda inputs: calls.append(inputs["input_ids"].shape) or {}, (1, 5))
    figures = measuring.measure(run, work.batches, work.rows(2))
    assert set(calls) == {(1, 5)}  # row by row, at the runtime's length
    assert figures["tokens_per_s"] == pytest.approx(4 / 2)
    assert figures["tokens_per_cpu_s"] == pytest.approx(4 / 1)
    assert figures["p50_ms"] == figures["p99_ms"] == pytest.approx(2000)


def test_extras_are_those_of_the_project():
    import tomllib

    project = ROOT / "pyproject.toml"
    known = tomllib.loads(project.read_text())["project"]["optional-dependencies"]
    assert {extra for extra, _ in EXTRAS.values()} <= known.keys()
