"""What the docstrings show runs, and prints what they say."""

import doctest
import importlib
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_bert
from tests.paths import ROOT

PACKAGE = ROOT / "keras_bert"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

# Names that examples use without importing them.
GLOBS = {"np": np, "keras": keras, "keras_bert": keras_bert, "Path": Path}
GLOBS |= {name: getattr(keras_bert, name) for name in keras_bert.__all__}


def _modules_with_examples() -> list[str]:
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(PACKAGE.rglob("*.py"))
        if ">>>" in path.read_text("utf-8")
    ]


@pytest.mark.parametrize("name", _modules_with_examples())
def test_examples_of_docstrings(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    examples = [
        test
        for test in doctest.DocTestFinder().find(module, extraglobs=GLOBS)
        if test.examples
    ]
    assert examples
    report = []
    for test in examples:
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)
