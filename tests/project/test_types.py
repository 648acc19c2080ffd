"""The stub that type checkers read names what the package has."""

import ast

import pytest

import keras_bert
from tests.project import public_stub

STUB = ast.parse(public_stub.PATH.read_text())
CLASSES = [node for node in STUB.body if isinstance(node, ast.ClassDef)]


def test_the_stub_lists_the_public_names():
    (listed,) = (node.value for node in STUB.body if isinstance(node, ast.Assign))
    assert ast.literal_eval(listed) == sorted(keras_bert.__all__)


@pytest.mark.parametrize("node", CLASSES, ids=lambda node: node.name)
def test_the_stub_names_the_head_of_a_model(node):
    (base,) = node.bases
    assert base.attr in [cls.__name__ for cls in getattr(keras_bert, node.name).mro()]


def test_the_stub_is_the_one_that_the_families_make():
    again = "run python -m tests.project.public_stub"
    assert public_stub.PATH.read_text() == public_stub.text(), again
