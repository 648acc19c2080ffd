"""The tools around conversions: the check of peers, and the benchmark's checkpoint."""

import ast
import runpy

import numpy as np
import pytest

from keras_bert.checkpoints import formats
from keras_bert.checkpoints.conversion import save
from keras_bert.checkpoints.matching import resolve_contents
from tests.checkpoints.fakes import tiny_config
from tests.paths import ROOT

RESULT = {
    "version": "library 1.0",
    "case": "BertModel, one file",
    "missing": [],
    "unexpected": [],
    "difference": 1e-7,
}


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(ROOT / "tools" / "peer_check.py"))


@pytest.mark.parametrize("name", ["transformers-4.57", "google", "model_garden"])
def test_cases_are_whole_and_say_what_to_expect(name, tool, tmp_path):
    peer = tool["PEERS"][name]
    peer = peer._replace(heads=peer.heads[:2])
    tool["write_cases"](peer, tmp_path)
    cases = sorted((tmp_path / "cases").iterdir())
    assert len(cases) == 2 * len(peer.variants)
    for case in cases:
        head = (case / "head").read_text()
        opened = formats.read(case)
        assert (opened.format, resolve_contents(opened).head) == (peer.format, head)
        expected, inputs = (np.load(case / f"{n}.npz") for n in ("expected", "inputs"))
        assert "sequence_output" in expected and "position_ids" not in inputs


def test_scripts_of_peers_need_nothing_of_this_package(tool):
    scripts = {peer.script for peer in tool["PEERS"].values()}
    assert {path.name for path in (ROOT / "tools" / "peers").glob("*.py")} == scripts
    for script in scripts:
        text = (ROOT / "tools" / "peers" / script).read_text()
        ast.parse(text)
        assert "keras_bert" not in text


@pytest.mark.parametrize(
    "change, fails",
    [
        ({}, False),
        ({"missing": ["a"]}, True),
        ({"unexpected": ["a"]}, True),
        ({"difference": 1e-3}, True),
        ({"difference": float("nan")}, True),
    ],
)
def test_what_counts_as_failed(change, fails, tool):
    assert tool["failed"](RESULT | change) == fails
    row = tool["table"]([RESULT | change]).splitlines()[-1]
    assert row.startswith("| library 1.0 | BertModel, one file | ")
    assert ("| a |" in row) == bool({"missing", "unexpected"} & change.keys())


def test_the_benchmark_converts_a_whole_checkpoint(tmp_path):
    benchmark = runpy.run_path(str(ROOT / "benchmarks" / "convert_bert_base.py"))
    config = tiny_config()
    tensors = dict(benchmark["random_tensors"](config))
    save(tmp_path, "google", config, benchmark["HEAD"], tensors)
    assert resolve_contents(formats.read(tmp_path)).head == benchmark["HEAD"]
    processes = runpy.run_path(str(ROOT / "benchmarks" / "processes.py"))
    used = processes["measure"](["true"])
    assert used.keys() == {"cpu_s", "wall_s", "peak_mb"} and used["peak_mb"] > 0
