"""Only `families/` knows a family: no other source names one for its logic.

Docstrings and comments may, and a few names of other libraries begin as a family does.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_bert.families import FAMILIES
from tests.paths import ROOT
from tests.project.test_imports import PACKAGE

PREFIXES = "|".join(sorted({f.class_prefix for f in FAMILIES.values()}))
TYPES = {f.model_type for f in FAMILIES.values()}
MODULES = {f.config.__module__ for f in FAMILIES.values()}
# Where a weight is, or a class of models or configs.
NAMES = re.compile(
    rf"(?<![\w/.])(?:{PREFIXES.lower()}|cls)[./](?:\w|$)|(?<![A-Za-z])(?:{PREFIXES})[A-Z]"
)
# The tokenizers' public names, and classes of the library `tokenizers`.
ALLOWED = {
    *("BertTokenizer", "BertTokenizerLayer"),
    *("BertNormalizer", "BertPreTokenizer", "BertProcessing", "RobertaProcessing"),
}
# The families, the lists of public classes, and examples shown to users.
EXEMPT = (
    *("families/", "models/__init__.py", "__init__.py", "foreign_names.py"),
    *("transformers/__init__.py", "transformers/tokenizers.py"),
)


def mentions(source: str) -> list[str]:
    """Returns what a source says of a family outside docstrings and comments."""
    tree = ast.parse(source)
    docstrings = {id(node.body[0].value) for node in _documented(tree)}
    found = []
    for node in ast.walk(tree):
        if id(node) not in docstrings:
            found += [text for text in _texts(node) if _names_a_family(node, text)]
    return found


def _documented(tree: ast.AST) -> Iterator[ast.AST]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            yield node


def _texts(node: ast.AST) -> list[str]:
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return [name]
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names):
            return [f"{module}.{alias.name}" for alias in names]
    return []


def _names_a_family(node: ast.AST, text: str) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        end = text.rpartition(".")[2]
        imported = any(f"{text}.".startswith(f"{module}.") for module in MODULES)
        return imported or _is_class(end)
    if isinstance(node, ast.Constant):
        words = [w for w in re.findall(r"\w+", text) if w in ALLOWED]
        cut = re.sub("|".join(words), "", text) if words else text
        return text in TYPES or NAMES.search(cut) is not None
    return _is_class(text)


def _is_class(name: str) -> bool:
    return name not in ALLOWED and re.match(rf"(?:{PREFIXES})[A-Z]", name) is not None


def violations(package: Path) -> list[str]:
    """Lists what the sources of a package say of a family."""
    files = {p.relative_to(package).as_posix(): p for p in package.rglob("*.py")}
    return [
        f"{name}: {text!r}"
        for name, path in sorted(files.items())
        if not name.startswith(EXEMPT)
        for text in mentions(path.read_text("utf-8"))
    ]


def test_no_source_outside_the_families_names_one():
    assert len([*PACKAGE.rglob("*.py")]) > 100
    assert violations(PACKAGE) == []


@pytest.mark.parametrize(
    "source",
    [
        'NAME = "bert/embeddings/word_embeddings"',
        'NAME = f"roberta.encoder.layer.{0}.weight"',
        'if name.startswith("cls."): pass',
        'POOLER = "cls/seq_relationship"',
        'if head == "BertForMaskedLM": pass',
        'HEADS = {"RobertaModel": 1}',
        'name = f"Expected a {1} such as BertForMaskedLM."',
        'if config.model_type == "distilbert": pass',
        "from keras_bert.families.bert import SMALL_SIZES",
        "from keras_bert.families import roberta",
        "import keras_bert.families.distilbert",
        "from keras_bert import BertConfig",
        "model = keras_bert.XLMRobertaModel(config)",
        "def f():\n    return DistilBertConfig()",
    ],
)
def test_a_source_that_names_a_family_is_found(tmp_path, source):
    path = tmp_path / "checkpoints" / "formats" / "new.py"
    path.parent.mkdir(parents=True)
    path.write_text(f'"""A module."""\n{source}\n')
    assert len(violations(tmp_path)) == 1


@pytest.mark.parametrize(
    "source",
    [
        '"""See `BertModel` and bert.pooler.dense."""',
        'def f():\n    """>>> BertConfig()"""',
        "def f(cls):  # of BertModel, bert/pooler\n    return cls.name",
        "from keras_bert.tokenization import BertTokenizer",
        'settings = {"tokenizer_class": "BertTokenizer", "type": "BertNormalizer"}',
        "raise Error(\"pip install 'bert-for-keras[text]', see keras_bert.loading\")",
        'raise Error("as in --model bert=saved_models/bert. Or none.")',
        'families.of(config).class_name("masked_lm")',
    ],
)
def test_what_names_no_family_is_let_pass(source):
    assert mentions(source) == []


def test_the_page_shows_the_files_as_they_are():
    page = (ROOT / "docs" / "adding_a_family.md").read_text("utf-8")
    quoted = re.findall(r"^```python\n(.*?)^```", page, re.S | re.M)
    assert quoted == [(PACKAGE / "families" / "distilbert.py").read_text("utf-8")]
    added = re.findall(r"^\+(.*)$", page, re.M)
    registered = (PACKAGE / "families" / "__init__.py").read_text("utf-8").splitlines()
    assert len(added) == 2 and {*added} <= {*registered}
