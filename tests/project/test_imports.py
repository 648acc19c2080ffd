"""Which part may import which, read from the source; and what runs without what."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.paths import ROOT

PACKAGE = ROOT / "keras_bert"

# The floors of the house, lowest first. A part imports only parts on floors below its
# own; those on one floor do not know each other. `__init__` hands on public names.
FLOORS = (
    (
        "axes",
        "checksums",
        "distances",
        "errors",
        "features",
        "protobuf",
        "strings",
        "tf_startup",
        "version",
    ),
    (
        "config",
        "extras",
        "foreign_names",
        "hub",
        "output_locks",
        "sentence_recipe",
        "tag_schemes",
    ),
    ("atomic_files",),
    ("families", "figures"),
    ("tokenizer_folder",),
    ("checkpoints", "layers", "tokenization"),
    ("loading", "losses", "optimizers"),
    ("models",),
    ("__init__",),
    ("analysis", "pretraining", "serving", "training", "verification"),
    ("tasks",),
    ("transformers",),
    ("cli",),
    ("__main__",),
)
FLOOR = {part: number for number, parts in enumerate(FLOORS) for part in parts}

# Third-party modules a part may import at module level, where that is limited.
LIMITED = {
    **{part: set() for parts in FLOORS[:2] for part in parts},
    "__init__": set(),
    "checksums": {"numpy", "google_crc32c"},
    "distances": {"numpy"},
    "protobuf": {"google"},
    "checkpoints": {"numpy", "einops", "google"},
    "families": set(),
    "layers": {"keras", "numpy"},
    "losses": {"keras"},
    "optimizers": {"keras", "numpy"},
    "models": {"keras", "numpy"},
    "tasks": {"numpy"},
    "analysis": {"numpy"},
}
# Third-party modules a part never imports, not even inside a function.
NEVER = {
    "checkpoints": {"keras"},
    "families": {"keras", "tensorflow", "torch"},
    "layers": {"tensorflow", "torch", "jax"},
}
# `tf.distribute` is TensorFlow's, and a layer asks it on which replica it runs; and
# only TensorFlow has graphs that custom gradients must not keep.
ON_TENSORFLOW = {"layers/replicas.py", "layers/custom_gradient.py"}
OUTSIDE = {"tools", "converters", "examples", "tests", "benchmarks"}


class Import(NamedTuple):
    """One imported name: in which file, from where, and whether importing runs it.

    Attributes:
        file: relative to the package.
        name: in full, `keras_bert.models.heads.Head` or `numpy`.
        at_module_level: False inside a function.
    """

    file: str
    name: str
    at_module_level: bool

    @property
    def part(self) -> str:
        return self.file.split("/")[0].removesuffix(".py")

    @property
    def top(self) -> str:
        return self.name.split(".")[0]

    @property
    def own_part(self) -> str | None:
        """The part of this package that is imported, if it is one."""
        top, *rest = self.name.split(".")
        if top != "keras_bert":
            return None
        return rest[0] if rest and rest[0] in FLOOR else "__init__"


def imports_of(package: Path) -> list[Import]:
    return [
        Import(path.relative_to(package).as_posix(), name, level)
        for path in sorted(package.rglob("*.py"))
        for name, level in _names(ast.parse(path.read_text("utf-8")), True)
    ]


def _names(node: ast.AST, level: bool) -> Iterator[tuple[str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, level) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "relative imports are not used"
            yield from ((f"{child.module}.{a.name}", level) for a in child.names)
        yield from _names(child, level and not _runs_later(child))


def _runs_later(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return getattr(node.test, "id", None) == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def violations(found: list[Import]) -> list[str]:
    """Lists every import the tables do not allow."""
    rules = (_runs_up, _too_heavy, _forbidden)
    return [
        f"{i.file} imports {i.name}" for i in found if any(rule(i) for rule in rules)
    ]


def _runs_up(i: Import) -> bool:
    if i.own_part in (None, i.part):
        return False
    return FLOOR[i.own_part] >= FLOOR[i.part]


def _too_heavy(i: Import) -> bool:
    known = i.own_part or i.top in sys.stdlib_module_names
    if known or not i.at_module_level or i.part not in LIMITED:
        return False
    return i.top not in LIMITED[i.part]


def _forbidden(i: Import) -> bool:
    if i.file in ON_TENSORFLOW and i.top == "tensorflow":
        return False
    return i.top in OUTSIDE | NEVER.get(i.part, set())


def circle(package: Path) -> list[str]:
    """Returns modules that import each other in a circle, or nothing.

    Imports inside functions count: they hide a direction, and do not remove it.
    """
    graph = {_module(path, package): set() for path in package.rglob("*.py")}
    for i in imports_of(package):
        importer = _module(package / i.file, package)
        graph[importer] |= {_owner(i.name, graph)} - {importer, None}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def _module(path: Path, package: Path) -> str:
    names = ("keras_bert", *path.relative_to(package).with_suffix("").parts)
    return ".".join(names).removesuffix(".__init__")


def _owner(name: str, modules: Mapping[str, set]) -> str | None:
    """The module that a name is imported from: itself, or the one that holds it."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def test_every_import_goes_down():
    found = imports_of(PACKAGE)
    assert len(found) > 500
    assert {i.part for i in found} <= FLOOR.keys(), "a part without a floor"
    assert violations(found) == []


def test_no_modules_import_each_other():
    assert circle(PACKAGE) == []


@pytest.mark.parametrize(
    "second",
    ["from keras_bert.cli import a", "def f():\n    from keras_bert.cli.a import run"],
)
def test_a_circle_is_found(tmp_path, second):
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "a.py").write_text("import keras_bert.cli.b\n")
    (tmp_path / "cli" / "b.py").write_text(second + "\n")
    assert {*circle(tmp_path)} == {"keras_bert.cli.a", "keras_bert.cli.b"}


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("layers/a.py", "import keras_bert.models.heads"),
        ("layers/a.py", "def f():\n    import tensorflow as tf"),
        ("layers/a.py", "import tokenizers"),
        ("models/a.py", "def f():\n    from keras_bert import training"),
        ("models/a.py", "if TYPE_CHECKING:\n    from keras_bert import BertTokenizer"),
        ("models/a.py", "if True:\n    from tensorflow import nn"),
        ("optimizers/a.py", "from keras_bert.models import heads"),
        ("checkpoints/a.py", "def f():\n    from keras import ops"),
        ("checkpoints/a.py", "import torch"),
        ("checkpoints/a.py", "from keras_bert.tokenization import BertTokenizer"),
        ("families/a.py", "from keras_bert.checkpoints.files import new"),
        ("config.py", "import numpy"),
        ("errors.py", "from keras_bert.config import Config"),
        ("training/a.py", "from keras_bert import tasks"),
        ("cli/a.py", "def f():\n    import converters.tf_to_pt"),
    ],
)
def test_a_wrong_import_is_found(tmp_path, file, source):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(source + "\n")
    assert len(violations(imports_of(tmp_path))) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("models/base.py", "def f():\n    from keras_bert.loading import x"),
        ("checkpoints/a.py", "def f():\n    import torch"),
        ("layers/a.py", "import keras\nfrom keras_bert.errors import InputError"),
        ("layers/replicas.py", "def f():\n    import tensorflow as tf"),
        ("cli/a.py", "from keras_bert.serving.export import export"),
        ("cli/a.py", "from keras_bert import BertConfig, axes"),
        ("tasks/a.py", "if TYPE_CHECKING:\n    import tensorflow as tf"),
    ],
)
def test_a_right_import_is_let_pass(tmp_path, file, source):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(source + "\n")
    assert violations(imports_of(tmp_path)) == []


# === In processes of their own ===

LIGHT = """
import sys
import keras_bert, keras_bert.checkpoints, keras_bert.cli
import keras_bert.analysis, keras_bert.tasks
keras_bert.BertConfig, keras_bert.BertTokenizer, keras_bert.KerasBertError
keras_bert.DistilBertConfig, keras_bert.XLMRobertaConfig
assert {"RobertaForMaskedLM", "XLMRobertaConfig"} <= {*dir(keras_bert)}
heavy = {"keras", "tensorflow", "torch", "jax"} & set(sys.modules)
assert not heavy, f"loaded: {sorted(heavy)}"
print("light")
"""

ABSENT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""

WITHOUT_TENSORFLOW = (
    """
ABSENT = {"tensorflow", "tensorflow_text", "keras_hub", "keras_nlp", "tokenizers",
          "einops", "safetensors", "matplotlib", "tensorboard"}
"""
    + ABSENT
    + """
import numpy as np
import keras_bert

config = keras_bert.BertConfig(
    vocab_size=37, hidden_size=14, num_hidden_layers=1, num_attention_heads=7,
    intermediate_size=13, max_position_embeddings=11, num_labels=3)
model = keras_bert.BertForSequenceClassification(config, seed=1)
model.compile()
before = model.get_weights()
ids = np.random.default_rng(0).integers(1, 37, (6, 11)).astype("int32")
history = model.fit({"input_ids": ids}, np.arange(6) % 3, batch_size=6, verbose=0)
(loss,) = history.history["loss"]
assert np.isfinite(loss) and loss > 0, loss
moved = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights())]
assert sum(moved) > len(moved) // 2, moved
assert not ABSENT & set(sys.modules)
print("fitted")
"""
)

WITHOUT_EXTRAS = (
    """
ABSENT = {"tensorflow_text", "matplotlib", "tensorboard", "tensorflow_datasets",
          "torch", "sklearn", "apache_beam", "jieba", "onnx", "openvino", "pyarrow"}
"""
    + ABSENT
    + """
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import keras_bert
from keras_bert import analysis, pretraining, tasks, training
from keras_bert.checkpoints import convert
from keras_bert.cli import runs
from keras_bert.errors import MissingExtraError
from keras_bert.serving.export import export

folder = Path(tempfile.mkdtemp())
vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "run", "##ning"]
tokenizer = keras_bert.BertTokenizer(vocab)
config = keras_bert.BertConfig.preset("tiny", vocab_size=len(vocab))
model = keras_bert.BertForSequenceClassification(config)
model.compile()
model.fit(tokenizer(["running", "run"]), np.arange(2), verbose=0)
model.save_pretrained(folder / "own", tokenizer=tokenizer)
convert(folder / "own", folder / "there", "huggingface")
assert (export(model, folder / "served") / "saved_model.pb").exists()
for needs_one, extra in [
    (lambda: export(model, folder / "text", tokenizer), "text"),
    (lambda: keras_bert.tokenization.BertTokenizerLayer, "text"),
    (lambda: analysis.plot_curves([{"step": 1, "loss": 1.0}], folder / "a"), "plot"),
]:
    try:
        needs_one()
    except MissingExtraError as error:
        assert f"pip install 'bert-for-keras[{extra}]'" in str(error), error
    else:
        raise AssertionError(f"did without {extra}")
run = SimpleNamespace(writes=True, directory=folder, history=[{"step": 1, "loss": 1.0}])
runs.draw(run)
assert not ABSENT & set(sys.modules)
print("served")
"""
)


def run_python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_configs_tokenizers_and_checkpoints_load_no_framework():
    assert run_python(LIGHT) == "light"


def test_builds_and_fits_on_jax_without_tensorflow():
    assert run_python(WITHOUT_TENSORFLOW, KERAS_BACKEND="jax") == "fitted"


def test_builds_fits_converts_and_exports_without_any_extra():
    printed = run_python(WITHOUT_EXTRAS, KERAS_BACKEND="tensorflow").splitlines()
    assert printed[-1] == "served"
    assert "curves.png" in printed[-2] and "bert-for-keras[plot]" in printed[-2]
