"""The converter scripts and the commands `convert` and `inspect`."""

import ast
import itertools
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_bert.checkpoints import bundle, formats
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.checkpoints.inspection import compare, inspect
from keras_bert.cli import main
from keras_bert.cli.convert import DIRECTORIES, KINDS
from tests.checkpoints.fakes import (
    assert_same_bits,
    contents_of,
    tiny_config,
    values,
    write_fake,
    write_trained,
)
from tests.cli.calling import call
from tests.paths import ROOT

SCRIPTS = ROOT / "converters"
PAIRS = list(itertools.permutations(KINDS, 2))


def _script(source: str, target: str):
    return runpy.run_path(str(SCRIPTS / f"{source}_to_{target}.py"))["main"]


@pytest.mark.parametrize("source, target", PAIRS)
def test_every_script_writes_beside_its_source(source, target, tmp_path, capsys):
    ckpt = write_fake(tmp_path / "ckpt", KINDS[source])
    assert _script(source, target)([str(ckpt)]) == 0
    output = ckpt / DIRECTORIES[KINDS[target]]
    assert formats.detect(output) == KINDS[target]
    assert (output / "vocab.txt").exists()
    printed = capsys.readouterr().out
    assert "BertForPreTraining: encoder, pooler, masked_lm, next_sentence" in printed
    assert "46 weights, 4,793 parameters" in printed
    assert "Largest difference of outputs: " in printed
    back = tmp_path / "back"
    assert _script(target, source)([str(output), "--output", str(back)]) == 0
    assert_same_bits(values(ckpt), values(back))


def test_tf_to_pt_writes_what_the_contract_names(tmp_path):
    ckpt = write_fake(tmp_path / "ckpt", "google")
    assert _script("tf", "pt")([str(ckpt)]) == 0
    assert {p.name for p in (ckpt / "pytorch").iterdir()} == {
        "model.safetensors",
        "config.json",
        "vocab.txt",
        "tokenizer_config.json",
        "conversion.json",
    }
    assert _script("tf", "pt")([str(ckpt), "--format", "bin", "--overwrite"]) == 0
    names = {p.name for p in (ckpt / "pytorch").iterdir()}
    assert "pytorch_model.bin" in names and "model.safetensors" not in names


def test_pt_to_tf_writes_what_the_contract_names(tmp_path):
    source = write_fake(tmp_path / "pt", "huggingface")
    out = tmp_path / "OUT"
    assert _script("pt", "tf")([str(source), "--output", str(out)]) == 0
    assert {p.name for p in out.iterdir()} == {
        "bert_model.ckpt.index",
        "bert_model.ckpt.data-00000-of-00001",
        "checkpoint",
        "bert_config.json",
        "vocab.txt",
        "conversion.json",
    }


def test_a_prefix_is_a_source(tmp_path):
    ckpt = write_fake(tmp_path / "ckpt", "google")
    assert _script("tf", "keras")([str(ckpt / "bert_model.ckpt")]) == 0
    assert (ckpt / "keras" / "model.weights.h5").exists()


def test_gelu_can_be_said(tmp_path):
    ckpt = write_fake(tmp_path / "ckpt", "google")
    assert _script("tf", "pt")([str(ckpt), "--gelu", "erf"]) == 0
    config = json.loads((ckpt / "pytorch" / "config.json").read_text())
    assert config["hidden_act"] == "gelu"


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda ckpt: (ckpt / "bert_config.json").unlink(), "bert_config.json"),
        (
            lambda ckpt: (ckpt / "bert_model.ckpt.index").write_bytes(b"x" * 99),
            "damaged",
        ),
        (lambda ckpt: (ckpt / "pytorch").mkdir() or _put(ckpt / "pytorch"), "already"),
    ],
    ids=["no config", "damaged", "output there"],
)
def test_a_failure_is_one_line_and_leaves_nothing(change, words, tmp_path, capsys):
    ckpt = write_fake(tmp_path / "ckpt", "google")
    change(ckpt)
    before = contents_of(tmp_path)
    assert _script("tf", "pt")([str(ckpt)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Error: ") and printed.err.count("\n") == 1
    assert words in printed.err
    assert contents_of(tmp_path) == before


def _put(folder: Path) -> None:
    (folder / "config.json").write_text("{}")


def test_a_script_refuses_another_format(tmp_path, capsys):
    source = write_fake(tmp_path / "pt", "huggingface")
    assert _script("tf", "keras")([str(source)]) == 2
    assert "Expected a TensorFlow checkpoint" in capsys.readouterr().err


def test_scripts_only_call_the_library():
    for path in SCRIPTS.glob("*.py"):
        tree = ast.parse(path.read_text())
        assert len(tree.body) == 4, path  # docstring, import, main, guard


@pytest.mark.parametrize("module", ["keras_bert.checkpoints", "keras_bert.families"])
def test_checkpoints_never_import_keras_and_others_only_inside(module):
    heavy = {"keras", "tensorflow", "torch", "safetensors", "h5py"}
    folder = SCRIPTS.parent / module.replace(".", "/")
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text())
        imports = (ast.Import, ast.ImportFrom)
        anywhere = [n for n in ast.walk(tree) if isinstance(n, imports)]
        at_top = [n for n in tree.body if isinstance(n, imports)]
        assert not heavy & set(_imported(at_top)), path
        assert "keras" not in _imported(anywhere), path


def _imported(nodes) -> list[str]:
    names = []
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names.append(node.module.split(".")[0])
        else:
            names += [alias.name.split(".")[0] for alias in node.names]
    return names


@pytest.mark.parametrize("source, target", PAIRS)
def test_no_script_needs_a_framework(source, target, tmp_path, monkeypatch):
    ckpt = write_fake(tmp_path / "ckpt", KINDS[source])
    for name in ("tensorflow", "torch", "keras", "jax", "transformers"):
        monkeypatch.setitem(sys.modules, name, None)
    assert _script(source, target)([str(ckpt)]) == 0


# === The commands ===


def test_the_convert_command(tmp_path, capsys):
    source = write_fake(tmp_path / "ckpt", "google")
    out = str(tmp_path / "out")
    assert main(["convert", str(source), out, "--to", "keras"]) == 0
    assert "(google) -> " in capsys.readouterr().out
    drop = ["--drop", "next_sentence", "--head", "masked_lm", "--overwrite"]
    assert main(["convert", str(source), out, "--to", "keras", *drop]) == 0
    printed = capsys.readouterr().out
    assert "BertForMaskedLM: encoder, masked_lm, pooler" in printed
    head = "cls/seq_relationship/output_"
    assert f"Left behind: {head}bias, {head}weights (dropped by request)" in printed
    assert main(["convert", str(source), out, "--to", "keras"]) == 2


def test_inspect_describes(tmp_path, capsys):
    source = write_fake(tmp_path / "ckpt", "google")
    assert main(["inspect", str(source)]) == 0
    printed = capsys.readouterr().out
    for words in ("google", "BertForPreTraining", "4,793 parameters", "46 float32"):
        assert words in printed


def test_inspect_does_not_judge(tmp_path):
    def change(tensors):
        tensors["bert/extra"] = tensors.pop("bert/pooler/dense/bias")

    found = inspect(write_fake(tmp_path / "ckpt", "google", change=change))
    assert found.incomplete == {"pooler": ["bert/pooler/dense/bias"]}
    assert found.unexpected == ["bert/extra"]
    assert "pooler lacks bert/pooler/dense/bias" in found.summary()


def test_inspect_compares_across_formats(tmp_path, capsys):
    one = write_fake(tmp_path / "one", "google")
    assert (
        main(["convert", str(one), str(tmp_path / "two"), "--to", "huggingface"]) == 0
    )
    capsys.readouterr()
    assert main(["inspect", str(one), str(tmp_path / "two")]) == 0
    assert capsys.readouterr().out.endswith("Differences:\n  none\n")

    def change(tensors):
        name = "pooler/dense/bias"
        moved = np.nextafter(tensors[name].load(), np.inf, dtype="float32")
        tensors[name] = type(tensors[name]).of(moved)

    config = tiny_config(hidden_act="gelu")
    three = write_fake(tmp_path / "three", "keras", "BertModel", config, change)
    lines = compare(one, three)
    assert lines[:2] == [
        "head: BertForPreTraining and BertModel",
        "hidden_act: gelu_new and gelu",
    ]
    assert lines[2].startswith(f"only in {one}: masked_lm/dense/kernel")
    assert [line.split(":")[0] for line in lines[3:]] == ["pooler/dense/bias"]


def test_the_commands_read_with_the_same_options(tmp_path):
    source = write_trained(tmp_path / "ckpt")
    opened = formats.read(source)
    unknown = {"crf/transitions": opened.tensors["bert/pooler/dense/bias"]}
    stored = {
        n: Tensor.of(t.load())
        for n, t in (opened.tensors | opened.optimizer | unknown).items()
    }
    bundle.write(source / "bert_model.ckpt", stored)
    config = (source / "bert_config.json").rename(tmp_path / "it.json")
    commands = {
        "inspect": ["inspect", source],
        "strip": ["strip", source, tmp_path / "out"],
        "convert": ["convert", source, tmp_path / "out", "--to", "keras"],
    }
    for name, command in commands.items():
        more = [] if name == "inspect" else ["--overwrite"]
        assert "--config of keras-bert" in call(*command).err
        assert call(*command, *more, "--config", config).status == 0
        strict = [*command, *more, "--config", config, "--strict"]
        assert "Unexpected: crf/transitions" in call(*strict).err
        assert call(*strict, "--drop", "crf/transitions").status == 0
