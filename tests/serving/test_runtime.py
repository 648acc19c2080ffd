"""Exports where they will run: without Keras, without Python, on any text, killed."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text

from keras_bert import BertTokenizer
from keras_bert.serving.export import export
from keras_bert.serving.graph.chunks import in_chunks
from keras_bert.serving.graph.servable import Servable
from tests.bounds import assert_close
from tests.paths import ROOT
from tests.serving.cases import CHOICES, ON_PAIRS, PAIRS, TEXTS, VOCAB, make_model

SOURCE = Path(__file__).resolve().parent / "c" / "serve.c"
EMBEDDINGS = {"embeddings": "mean", "normalize": True}
# Their answers differ in kind.
KINDS = {
    "classes": {},
    "answers": {},
    "tokens": {"labels": ["O", "B-X", "I-X"]},
    "choices": {},
    "encoder": EMBEDDINGS,
}


@pytest.fixture(scope="module")
def servables():
    """A model in process, with its functions, by case."""
    made = {}

    def get(case):
        if case not in made:
            model, options = make_model(case), KINDS.get(case, {})
            made[case] = Servable(model, BertTokenizer(VOCAB), 13, **options)
        return made[case]

    return get


@pytest.fixture(scope="module")
def paths(tmp_path_factory, servables):
    """Exports by case."""
    done = {}

    def get(case):
        if case not in done:
            directory, options = tmp_path_factory.mktemp(case), KINDS[case]
            model, tokenizer = servables(case).model, servables(case).tokenizer
            done[case] = export(model, directory, tokenizer, max_length=13, **options)
        return done[case]

    return get


def texts_of(case, count=4):
    pairs = CHOICES if case == "choices" else PAIRS
    texts = {"text": TEXTS[:count]}
    return texts | ({"text_pair": pairs[:count]} if case in ON_PAIRS else {})


def on_text(servable):
    return servable.on_text(servable.pairs)


def run(function, inputs):
    """Calls a signature with lists."""
    inputs = {name: tf.constant(value) for name, value in inputs.items()}
    return {name: value.numpy() for name, value in function(**inputs).items()}


def assert_same(received, expected):
    assert set(received) == set(expected)
    for name, value in expected.items():
        if value.dtype.kind == "f":
            assert np.shape(received[name]) == value.shape
            assert_close(received[name], value)
        else:
            plain = json.loads(json.dumps(value.tolist(), default=as_text))
            assert received[name] == plain


def as_text(data):
    return data.decode("latin-1")  # any bytes, and back


# === Other processes ===

# The Python half of tensorflow-text imports Keras; models need the operations alone.
SCRIPT = """
import json, sys
from importlib.machinery import ModuleSpec

class Blocked:
    names = {"keras", "keras_bert", "tensorflow_text", "tokenizers"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            return ModuleSpec(name, self)  # TensorFlow asks where Keras would be

    def create_module(self, spec):
        raise ImportError(f"{spec.name} is blocked")

    exec_module = None

sys.meta_path.insert(0, Blocked())
import numpy as np, tensorflow as tf

def tensor(value):
    value = np.array(value)
    text = value.dtype.kind == "U"
    return tf.constant(np.char.encode(value, "latin-1") if text else np.int32(value))

for path in sys.argv[1:]:
    tf.load_op_library(path)
for path, calls in json.load(sys.stdin):
    signatures = tf.saved_model.load(path).signatures
    for name, inputs in calls.items():
        outputs = signatures[name](**{k: tensor(v) for k, v in inputs.items()})
        plain = {k: v.numpy().tolist() for k, v in outputs.items()}
        print(json.dumps(plain, default=lambda data: data.decode("latin-1")))
assert not Blocked.names & {*sys.modules}
"""


def calls_of(case):
    """Inputs for every signature."""
    texts = texts_of(case)
    features = {
        name: tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[values[0].encode()])
        )
        for name, values in texts.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    ids = np.array([[2, 5, 6, 3], [2, 7, 3, 0]], np.int32)
    calls = {
        "serving_default": texts,
        "serve_pairs": {"text_pair": PAIRS, **texts},
        "serve_ids": {
            "input_ids": ids,
            "attention_mask": np.minimum(ids, 1),
            "token_type_ids": ids * 0,
        },
        "serve_examples": {"inputs": [example.SerializeToString()]},
    }
    if case == "tokens":
        calls.pop("serve_pairs")
    return calls


def plain(inputs):
    values = {name: np.asarray(value).tolist() for name, value in inputs.items()}
    return json.loads(json.dumps(values, default=as_text))


@pytest.mark.slow
def test_a_process_with_tensorflow_alone_runs_every_signature(servables, paths):
    calls = {case: calls_of(case) for case in ("classes", "answers", "tokens")}
    payload = [
        (str(paths(case)), {name: plain(inputs) for name, inputs in named.items()})
        for case, named in calls.items()
    ]
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, *op_libraries()],
        input=json.dumps(payload),
        capture_output=True,
        text=True,
        cwd=paths("classes"),
    )
    assert result.returncode == 0, result.stderr
    answers = iter(result.stdout.splitlines())
    for case, named in calls.items():
        signatures = tf.saved_model.load(str(paths(case))).signatures
        assert set(named) == set(signatures)
        for name, inputs in named.items():
            assert_same(json.loads(next(answers)), run(signatures[name], inputs))
        if case == "classes":
            ids = named["serve_ids"]
            logits = run(signatures["serve_ids"], ids)["logits"]
            expected = servables(case).model(ids)
            assert_close(logits, expected)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The C program, compiled against TensorFlow's wheel."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler (cc, gcc or clang)")
    libraries = Path(tf.sysconfig.get_lib())
    names = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")
    if missing := [name for name in names if not (libraries / name).is_file()]:
        pytest.skip(f"this TensorFlow comes without {', '.join(missing)}")
    output = tmp_path_factory.mktemp("c") / "serve"
    # The libraries are large, and gold the faster linker.
    gold = ["-fuse-ld=gold"] if shutil.which("ld.gold") else []
    subprocess.run(
        [
            *(compiler, "-Wall", "-Wextra", "-Werror", str(SOURCE), "-o", str(output)),
            *(f"-I{tf.sysconfig.get_include()}", f"-Wl,-rpath,{libraries}", *gold),
            *(str(libraries / name) for name in names),
            "-Wl,--allow-shlib-undefined",
        ],
        check=True,
    )
    return output


def op_libraries():
    folder = Path(tensorflow_text.__file__).parent / "python" / "ops"
    return [str(path) for path in sorted(folder.glob("*.so"))]


@pytest.mark.parametrize(
    "case",
    [
        "answers",
        *(pytest.param(c, marks=pytest.mark.slow) for c in ("classes", "tokens")),
    ],
)
def test_the_cpp_runtime_answers_without_python(case, program, servables, paths):
    from tensorflow.python.saved_model import loader_impl

    graphs = loader_impl.parse_saved_model(str(paths(case))).meta_graphs
    signature = graphs[0].signature_def["serving_default"]
    outputs = sorted(signature.outputs)
    texts = {name: values[3:] for name, values in texts_of(case).items()}
    command = [str(program), str(paths(case))]
    command += [x for path in op_libraries() for x in ("-l", path)]
    for name, [text] in texts.items():
        command += ["-i", signature.inputs[name].name, text]
    for name in outputs:
        command += ["-o", signature.outputs[name].name]
    # Nothing of Python's: not even its paths.
    result = subprocess.run(command, capture_output=True, text=True, env={})
    assert result.returncode == 0, result.stderr
    lines = dict(zip(outputs, result.stdout.split("\n"), strict=False))
    expected = run(on_text(servables(case)), texts)
    for name, value in expected.items():
        received = lines[name].split("\t") if value.size else []
        if value.dtype.kind == "f":
            received = np.array(received, float).reshape(value.shape)
            assert_close(received, value)
        else:
            flat = [x.decode() if isinstance(x, bytes) else str(x) for x in value.flat]
            assert received == flat


@pytest.mark.slow
def test_tensorflows_tool_shows_what_is_exported(paths):
    tool = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli"]
    command = [*tool, "show", "--dir", str(paths("tokens")), "--all"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for name in ("serving_default", "serve_ids", "serve_examples", "entity", "count"):
        assert name in result.stdout


# === Any text ===


def test_answers_are_cut_from_text_whose_broken_bytes_are_replaced(servables):
    broken = b"\xff\xfe a \x80\xe2\x82 bad film"
    whole = broken.decode("utf-8", "replace")
    inputs = {"text": ["a"] * 2, "text_pair": [broken, whole.encode()]}
    answer = run(on_text(servables("answers")), inputs)
    for row in range(2):
        start, end = answer["start"][row], answer["end"][row]
        assert answer["answer"][row].decode() == whole[start:end] != ""
    assert answer["start"][0] == answer["start"][1]


@pytest.mark.parametrize("case", KINDS)
def test_a_megabyte_of_text_has_an_answer(case, servables):
    long = "it was really not so good " * (2**20 // 26)
    inputs = {"text": [long, "a film"]}
    if case in ON_PAIRS:
        pairs = [long, "seen"]
        inputs["text_pair"] = [[p, "so"] for p in pairs] if case == "choices" else pairs
    if case in ("answers", "tokens"):  # every token is read: a third of that will do
        inputs = {
            name: [text[: 2**14] for text in texts] for name, texts in inputs.items()
        }
    received = run(on_text(servables(case)), inputs)
    assert all(len(value) == 2 for value in received.values())
    if case == "tokens":  # nothing was cut
        assert received["end"][0].max() > 2**14 - 99


# === Many rows ===


@pytest.mark.parametrize("positions", [1, 5, 22, 23, 100, 10**6])
@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_chunks_are_the_whole(positions, count):
    values = tf.reshape(tf.range(count * 11), [count, 11])
    spec = tf.TensorSpec([None, None], tf.int32)

    @tf.function(input_signature=[spec], autograph=False)
    def function(x):
        at_once.append(None)
        tf.debugging.assert_less_equal(tf.size(x), max(positions, 11))
        return {"sum": tf.reduce_sum(x, 1), "next": x + 1}

    at_once = []
    received = in_chunks(function.get_concrete_function(), [values], positions)
    assert received["sum"].numpy().tolist() == values.numpy().sum(1).tolist()
    assert received["next"].numpy().tolist() == (values.numpy() + 1).tolist()
    assert len(at_once) == 1  # traced once


@pytest.mark.parametrize("case", ["choices", "answers", "tokens"])
def test_rows_of_a_large_request_are_answered_as_alone(case, servables, monkeypatch):
    texts = {name: values * 25 for name, values in texts_of(case).items()}
    options = KINDS[case]
    expected = run(on_text(servables(case)), texts)
    monkeypatch.setattr(in_chunks, "__defaults__", (40,))  # three rows of 13 tokens
    small = Servable(servables(case).model, BertTokenizer(VOCAB), 13, **options)
    received = run(on_text(small), texts)
    for name, value in expected.items():
        if value.dtype.kind == "f":
            assert_close(received[name], value)
        else:
            assert (received[name] == value).all()


MEMORY = """
import resource, sys
import tensorflow as tf, tensorflow_text
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
text = "it was really not so good " * 3
serve(text=tf.constant([text] * 64))
before = peak()
labels = serve(text=tf.constant([text] * 10_000))["label"]
print(len(labels), peak() - before)
"""


@pytest.mark.slow
def test_ten_thousand_texts_take_little_memory(tmp_path):
    import keras_bert

    config = keras_bert.BertConfig.preset("tiny", vocab_size=99)
    model = keras_bert.BertForSequenceClassification(config)
    path = export(model, tmp_path / "tiny", BertTokenizer(VOCAB))
    command = [sys.executable, "-c", MEMORY, str(path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    count, more = result.stdout.split()
    assert int(count) == 10_000 and float(more) < 1.0  # GiB; 3 at once


# === Killed ===

KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
from tests.serving.cases import VOCAB, make_model
from keras_bert import BertTokenizer
from keras_bert.serving.export import export
export(make_model("classes"), sys.argv[1], BertTokenizer(VOCAB), max_length=13)
"""


def contents(path):
    files = (p for p in sorted(path.rglob("*")) if p.is_file())
    return {str(p.relative_to(path)): p.read_bytes() for p in files}


@pytest.mark.slow
@pytest.mark.parametrize("written", ["new", "new/variables/variables*"])
def test_a_killed_export_leaves_the_served_version(written, tmp_path, paths):
    model = tmp_path / "model"
    shutil.copytree(paths("classes"), model / "1")
    served = contents(model / "1")
    command = [sys.executable, "-c", KILLED, str(model), str(ROOT)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while process.poll() is None and not any(model.glob(f".2.new*/{written}")):
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    left = next(model.glob(".2.new*"))
    found = sorted(path.name for path in model.iterdir() if path.suffix != ".lock")
    assert found == [left.name, "1"]
    assert contents(model / "1") == served
    # What was left behind is no version, and does not hinder the next.
    path = export(make_model("classes"), model, BertTokenizer(VOCAB), max_length=13)
    assert path == model / "2"
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    assert serve(text=tf.constant(TEXTS))["label"].shape == (4,)
