"""Google's scripts by their flags: the files that they read and write."""

import argparse
import json
import math
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import keras_bert
from keras_bert.cli.google import SCRIPTS, main
from keras_bert.cli.google.training import train
from keras_bert.tasks.glue_files import GLUE, read_glue
from tests.paths import ROOT, shared
from tests.vocabulary import SPECIAL

WORDS = "a the cat dog sat ran on mat who where is it not good bad ##s".split()
VOCAB = SPECIAL + WORDS
CONFIG = dict(
    vocab_size=len(VOCAB),
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=40,
    hidden_act="gelu_new",
    initializer_range=0.3,
)
SPEED = ("--max_seq_length=16", "--num_tpu_cores=8", "--use_tpu=false", "--master=")


def _release(folder: Path, **changes) -> Path:
    """Writes a pretrained model as Google published them."""
    config = keras_bert.BertConfig(**CONFIG | changes)
    keras_bert.BertForPreTraining(config, seed=3).save_pretrained(
        folder, format="google", tokenizer=keras_bert.BertTokenizer(VOCAB)
    )
    return folder


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    return _release(tmp_path_factory.mktemp("models") / "uncased_L-1_H-8_A-2")


def _flags(release: Path, **flags) -> list[str]:
    given = {
        "bert_config_file": release / "bert_config.json",
        "vocab_file": release / "vocab.txt",
        "init_checkpoint": release / "bert_model.ckpt",
        **flags,
    }
    return [f"--{name}={value}" for name, value in given.items()]


# === Flags ===


# Name of the script, its required flags, and others with values that mean nothing here.
REQUIRED = {
    "run_classifier": "data_dir task_name vocab_file bert_config_file output_dir",
    "run_squad": "vocab_file bert_config_file output_dir",
    "extract_features": "input_file vocab_file bert_config_file init_checkpoint "
    "output_file",
    "run_pretraining": "input_file bert_config_file output_dir",
}
ELSEWHERE = ("use_tpu=true", "master=grpc://10.0.0.1:8470")


@pytest.mark.parametrize("script", SCRIPTS)
def test_flags_that_cannot_be_meant_are_refused_in_words(script, capsys):
    required = [f"--{name}=x" for name in REQUIRED[script].split()]
    for flag in ELSEWHERE:
        assert main(script, [*required, f"--{flag}"]) == 2
        assert f"Expected no --{flag.partition('=')[0]}" in capsys.readouterr().err


@pytest.mark.parametrize("script", SCRIPTS)
def test_required_flags(script, capsys):
    for left_out in REQUIRED[script].split():
        given = [f"--{n}=x" for n in REQUIRED[script].split() if n != left_out]
        with pytest.raises(SystemExit):
            main(script, given)
        assert left_out.replace("_", "-") in capsys.readouterr().err


@pytest.mark.parametrize("script", ("run_classifier", "run_squad", "run_pretraining"))
def test_a_script_without_anything_to_do(script, capsys):
    required = [f"--{name}=x" for name in REQUIRED[script].split()]
    assert main(script, [*required, "--nodo_train", "--tpu_name="]) == 2
    assert "--do_train=true" in capsys.readouterr().err


def test_the_case_of_a_release(release, capsys, tmp_path):
    flags = _flags(release, data_dir=tmp_path, task_name="cola", output_dir=tmp_path)
    assert main("run_classifier", [*flags, "--do_eval", "--nodo_lower_case"]) == 2
    assert "Expected --do_lower_case=True" in capsys.readouterr().err
    assert main("run_classifier", [*flags, "--do_eval", "--max_seq_length=41"]) == 2
    assert "max_seq_length of at most 40" in capsys.readouterr().err


# === run_classifier.py ===


MNLI = "\t".join(["0"] * 8 + ["the cat", "a dog", "x", "y", "{}"]) + "\n"
XNLI_HEADER = "\t".join(["language", "gold_label", *"abcd", "s1", "s2"]) + "\n"
FILES = {
    "cola": {
        "train.tsv": 'id\t1\t\tthe "cat" sat\nid\t0\t*\tcat the\n',
        "dev.tsv": "id\t1\t\ta dog ran\n",
        "test.tsv": "index\tsentence\n0\tthe mat\n1\tit is good\n",
    },
    "mnli": {
        "train.tsv": MNLI.format("gold") + MNLI.format("neutral"),
        "dev_matched.tsv": MNLI.format("gold") + MNLI.format("more\tentailment"),
        "test_matched.tsv": MNLI.format("gold") + MNLI.format("hidden"),
    },
    "mrpc": {
        "train.tsv": "\ufeffQuality\ta\tb\tc\td\n1\t7\t8\tthe cat\ta cat\n" * 1
        + "0\t7\t8\tit ran\tthe dog sat\n",
        "dev.tsv": "Quality\ta\tb\tc\td\n1\t7\t8\tthe cats\ta cat\n"
        + "0\t7\t8\tgood\tbad\n0\t7\t8\tit\t\n",
        "test.tsv": "index\ta\tb\tc\td\n0\t7\t8\tthe cat\ta cat\n",
    },
    "xnli": {
        "multinli/multinli.train.zh.tsv": "a\tb\tlabel\nthe\tcat\tcontradictory\n",
        "xnli.dev.tsv": XNLI_HEADER
        + "en\tneutral\ta\tb\tc\td\tno\tno\n"
        + "zh\tentailment\ta\tb\tc\td\tthe cat\ta cat\n",
    },
}
EXPECTED = {
    ("cola", "train"): [('the "cat" sat', None, "1"), ("cat the", None, "0")],
    ("cola", "dev"): [("a dog ran", None, "1")],
    ("cola", "test"): [("the mat", None, None), ("it is good", None, None)],
    ("mnli", "train"): [("the cat", "a dog", "neutral")],
    ("mnli", "dev"): [("the cat", "a dog", "entailment")],
    ("mnli", "test"): [("the cat", "a dog", None)],
    ("mrpc", "train"): [("the cat", "a cat", "1"), ("it ran", "the dog sat", "0")],
    ("mrpc", "dev"): [
        ("the cats", "a cat", "1"),
        ("good", "bad", "0"),
        ("it", "", "0"),
    ],
    ("mrpc", "test"): [("the cat", "a cat", None)],
    ("xnli", "train"): [("the", "cat", "contradiction")],
    ("xnli", "dev"): [("the cat", "a cat", "entailment")],
}


@pytest.fixture(scope="module")
def glue(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("glue")
    for task, files in FILES.items():
        for name, text in files.items():
            path = folder / task / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(("task", "split"), EXPECTED)
def test_files_of_tasks(glue, task, split):
    found = read_glue(glue / task, task, split)
    expected = EXPECTED[task, split]
    assert [(e.text, e.text_pair, e.label) for e in found] == expected
    assert split in GLUE[task].files


@pytest.mark.parametrize(
    ("task", "split", "text", "message"),
    [
        ("cola", "dev", "id\t1\t\tfine\nid\t1\n", "at least 4 columns.*line 2.*: 2"),
        ("cola", "dev", "id\t2\t\tfine\n", "among 0, 1 in line 1.*: '2'"),
        ("cola", "test", "index\tsentence\n", "Expected examples"),
        ("mnli", "dev", None, "Expected the dev file of mnli"),
        ("xnli", "test", None, "a split of xnli: train, dev.*: test"),
        ("sst-3", "dev", None, "Did you mean 'sst-2'"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, task, split, text, message):
    if text:
        (tmp_path / GLUE[task].files[split][0].file).write_text(text)
    with pytest.raises(keras_bert.errors.KerasBertError, match=f"(?s){message}"):
        read_glue(tmp_path, task, split)


@pytest.fixture(scope="module")
def classified(release, glue, tmp_path_factory) -> Path:
    """The outputs of a run that trains, evaluates and predicts."""
    folder = tmp_path_factory.mktemp("classifier") / "out"
    flags = _flags(release, data_dir=glue / "mrpc", output_dir=folder)
    switches = ["--task_name=MRPC", "--do_train=true", "--do_eval=True", "--do_predict"]
    sizes = ["--train_batch_size=2", "--num_train_epochs=6", "--learning_rate=1e-2"]
    saving = ["--save_checkpoints_steps=1", *SPEED]
    assert main("run_classifier", [*flags, *switches, *sizes, *saving]) == 0
    return folder


def test_checkpoints_of_a_classifier_are_googles(classified):
    import tensorflow as tf

    names = sorted(path.name for path in classified.glob("model.ckpt-*.index"))
    assert names == [f"model.ckpt-{step}.index" for step in (2, 3, 4, 5, 6)]
    latest = tf.train.latest_checkpoint(str(classified))
    assert Path(latest).name == "model.ckpt-6"
    stored = dict(tf.train.list_variables(latest))
    weights = {name for name in stored if "adam" not in name} - {"global_step"}
    assert stored.keys() == weights | {"global_step"} | {
        f"{name}/{slot}" for name in weights for slot in ("adam_m", "adam_v")
    }
    assert stored["output_weights"] == [2, 8] and stored["global_step"] == []
    assert stored["bert/pooler/dense/kernel/adam_m"] == [8, 8]
    assert tf.train.load_variable(latest, "global_step") == 6
    assert tf.train.load_variable(latest, "output_weights/adam_v").min() > 0


def test_results_of_a_classifier(classified):
    lines = (classified / "eval_results.txt").read_text().splitlines()
    results = dict(line.split(" = ") for line in lines)
    assert list(results) == ["eval_accuracy", "eval_loss", "global_step", "loss"]
    assert results["global_step"] == "6" and 0 <= float(results["eval_accuracy"]) <= 1
    [row] = (classified / "test_results.tsv").read_text().splitlines()
    assert sum(map(float, row.split("\t"))) == pytest.approx(1, abs=1e-6)


def test_a_classifier_is_applied_from_its_directory(classified, release, glue):
    """Without training, the latest checkpoint counts; elsewhere, the initial one."""
    before = np.loadtxt(classified / "test_results.tsv")
    flags = _flags(release, data_dir=glue / "mrpc", task_name="mrpc")
    switches = ["--do_predict=true", "--do_eval=false", *SPEED]
    assert (
        main("run_classifier", [*flags, *switches, f"--output_dir={classified}"]) == 0
    )
    found = np.loadtxt(classified / "test_results.tsv")
    np.testing.assert_allclose(found, before, atol=1e-6)
    other = classified.with_name("other")
    model = f"--init_checkpoint={classified / 'model.ckpt-6'}"
    switches = ["--do_predict", "--do_eval", f"--output_dir={other}", *SPEED]
    assert main("run_classifier", [*flags, *switches, model]) == 0
    found = np.loadtxt(other / "test_results.tsv")
    np.testing.assert_allclose(found, before, atol=1e-6)
    assert "global_step = 0\n" in (other / "eval_results.txt").read_text()


def test_checkpoints_of_others_are_not_continued(classified, release, glue, capsys):
    other = classified.with_name("moved")
    other.mkdir()
    for path in classified.glob("model.ckpt-6.*"):
        (other / path.name).write_bytes(path.read_bytes())
    flags = _flags(release, data_dir=glue / "cola", task_name="cola", output_dir=other)
    flags += ["--do_train", "--train_batch_size=1", *SPEED]
    assert main("run_classifier", flags) == 2
    assert "another program" in capsys.readouterr().err


def test_the_script_of_the_migration_guide(release, glue, tmp_path):
    page = (ROOT / "docs/migrating.md").read_text("utf-8")
    [block] = re.findall(
        r"^```diff\n(-python run_classifier.*?)^```", page, re.S | re.M
    )
    after = "".join(line[1:] for line in block.splitlines(True) if line[0] != "-")
    places = {
        "$GLUE_DIR/MRPC": glue / "mrpc",
        "$BERT_BASE_DIR": release,
        "/tmp/mrpc_output": tmp_path / "out",
        "=128": "=16",
    }
    for text, place in places.items():
        assert text in after
        after = after.replace(text, str(place))
    _, script, *flags = shlex.split(after.replace("\\\n", " "))
    assert (ROOT / script).is_file()
    # Two examples are no step of 32.
    assert main(Path(script).stem, [*flags, "--num_train_epochs=32"]) == 0
    assert "global_step = 2\n" in (tmp_path / "out/eval_results.txt").read_text()


# === run_squad.py ===


def _squad(answer: str | None) -> dict:
    passage = "The cat sat on the mat. It is good."
    answers = (
        [{"text": answer, "answer_start": passage.index(answer)}] if answer else []
    )
    qa = {
        "question": "Where is the cat",
        "answers": answers,
        "is_impossible": not answer,
    }
    return {"context": passage, "qas": [{"id": f"q-{answer}", **qa}]}


def _squad_file(path: Path, *answers: str | None) -> Path:
    data = [{"title": "t", "paragraphs": [_squad(answer) for answer in answers]}]
    path.write_text(json.dumps({"version": "v2.0", "data": data}))
    return path


def test_squad(release, tmp_path):
    train = _squad_file(tmp_path / "train.json", "mat", "The cat", None)
    dev = _squad_file(tmp_path / "dev.json", "mat", None)
    out = tmp_path / "out"
    flags = _flags(release, train_file=train, predict_file=dev, output_dir=out)
    sizes = ["--max_query_length=6", "--doc_stride=4", "--train_batch_size=2"]
    negative = ["--version_2_with_negative=true", "--null_score_diff_threshold=1e9"]
    switches = ["--do_train=True", "--do_predict=True", "--n_best_size=3", *negative]
    assert main("run_squad", [*flags, *sizes, *switches, *SPEED]) == 0
    assert (out / "model.ckpt-4.index").is_file()
    names = ("predictions", "nbest_predictions", "null_odds")
    found = [json.loads((out / f"{name}.json").read_text()) for name in names]
    assert all(list(x) == ["q-mat", "q-None"] for x in found)
    predictions, nbest, odds = found
    assert all(
        text and text in _squad("mat")["context"] for text in predictions.values()
    )
    assert all(math.isfinite(x) for x in odds.values())
    assert list(nbest["q-mat"][0]) == [
        "text",
        "probability",
        "start_logit",
        "end_logit",
    ]
    assert sum(x["probability"] for x in nbest["q-mat"]) == pytest.approx(1)
    assert "" in [x["text"] for x in nbest["q-mat"]]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--do_train"], "--train_file with --do_train"),
        (["--do_predict"], "--predict_file with --do_predict"),
        (["--do_predict", "--predict_file=no"], "a file at no"),
    ],
)
def test_squad_without_files(release, tmp_path, capsys, flags, message):
    given = _flags(release, output_dir=tmp_path / "out", max_seq_length=40)
    assert main("run_squad", [*given, *flags, "--max_query_length=9"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# === extract_features.py ===


def test_features(tmp_path):
    release = _release(tmp_path / "two_layers", num_hidden_layers=2)
    lines = ["The cats sat", "who ||| a dog ran", "", "a ||| b ||| it is not so"]
    source, out = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("\n".join(lines) + "\n")
    flags = _flags(release, input_file=source, output_file=out, layers="-1,0,-2")
    assert main("extract_features", [*flags, "--batch_size=3", *SPEED[:-1]]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["linex_index"] for row in rows] == [0, 1, 2, 3]
    tokens = [[x["token"] for x in row["features"]] for row in rows]
    assert tokens[0] == ["[CLS]", "the", "cat", "##s", "sat", "[SEP]"]
    assert tokens[1] == ["[CLS]", "who", "[SEP]", "a", "dog", "ran", "[SEP]"]
    assert tokens[2] == ["[CLS]", "[SEP]"]
    unknown = ["a", "[UNK]", "[UNK]", "[UNK]", "[UNK]"]
    pair = ["it", "is", "not", "[UNK]"]
    assert tokens[3] == ["[CLS]", *unknown, "[SEP]", *pair, "[SEP]"]
    model = keras_bert.BertModel.from_pretrained(release, output_hidden_states=True)
    ids = [VOCAB.index(token) for token in tokens[1]]
    inputs = {"input_ids": [ids], "token_type_ids": [[0, 0, 0, 1, 1, 1, 1]]}
    states = model(inputs)["hidden_states"]
    for index, state in ((-1, states[2]), (0, states[1]), (-2, states[1])):
        found = [
            layer["values"]
            for token in rows[1]["features"]
            for layer in token["layers"]
            if layer["index"] == index
        ]
        np.testing.assert_allclose(found, np.array(state)[0], atol=2e-6)
    assert main("extract_features", [*flags, "--layers=-3"]) == 2


# === run_pretraining.py ===


class _Stored:
    """The batches of a run of Google's code, by number."""

    def __init__(self, data: dict) -> None:
        self.data, self.batch_size = data, len(data["input_ids"][0])

    def __call__(self, step: int, rows: slice = slice(None)) -> tuple:
        data = {name: x[step - 1][rows] for name, x in self.data.items()}
        labels = {
            "prediction_logits": data.pop("masked_lm_ids"),
            "seq_relationship_logits": data.pop("next_sentence_labels")[:, 0],
        }
        weights = data.pop("masked_lm_weights").astype("float32")
        return data, labels, {"prediction_logits": weights}


def test_training_writes_the_checkpoint_that_googles_code_wrote(tmp_path):
    """Weights, moments and the step, by name; dropout is off."""
    import tensorflow as tf

    case = shared("goldens", "google_tf1_optimizer")
    facts = json.loads((case / "case.json").read_text())
    model = keras_bert.BertForPreTraining.from_pretrained(
        case / "start", config_file=case / "bert_config.json", seed=1
    )
    flags = {"learning_rate": facts["init_lr"], "save_checkpoints_steps": 4}
    steps, warmup = facts["num_train_steps"], facts["num_warmup_steps"]
    batches = _Stored(dict(np.load(case / "inputs.npz")))
    args = argparse.Namespace(**flags)
    train(model, batches, args, tmp_path, steps=steps, warmup_steps=warmup)
    ours, theirs = (
        {
            name: tf.train.load_variable(path, name)
            for name, _ in tf.train.list_variables(path)
        }
        for path in (
            str(folder / "model.ckpt-10") for folder in (tmp_path, case / "end")
        )
    )
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert (ours[name].shape, ours[name].dtype) == (expected.shape, expected.dtype)
        # The true gradient of a key bias is zero: its moments are rounding.
        if "key/bias/adam" not in name:
            bound = 3e-5 * np.abs(expected).max()
            np.testing.assert_allclose(ours[name], expected, atol=bound, err_msg=name)


@pytest.fixture(scope="module")
def records(release, tmp_path_factory) -> Path:
    from keras_bert.cli import main as keras_bert_main

    folder = tmp_path_factory.mktemp("records")
    text = "the cat sat\nthe dog ran\n\nit is good\nwho is it\na mat is not bad\n\n" * 3
    (folder / "text").write_text(text)
    flags = ["--input_file", folder / "text", "--output_file", folder / "a.tfrecord"]
    lengths = ["--max_seq_length=16", "--max_predictions_per_seq=3", "--dupe_factor=1"]
    flags += ["--vocab_file", release / "vocab.txt", *lengths, "--policy=google"]
    assert keras_bert_main(["data", *map(str, flags)]) == 0
    return folder / "a.tfrecord"


def test_pretraining(release, records, tmp_path):
    out = tmp_path / "out"
    flags = _flags(release, input_file=records, output_dir=out)
    flags = [flag for flag in flags if not flag.startswith("--vocab_file")]
    sizes = ["--train_batch_size=4", "--num_train_steps=3", "--max_eval_steps=2"]
    switches = ["--do_train", "--do_eval", "--max_predictions_per_seq=3"]
    command = [*flags, *sizes, *switches, *SPEED]
    assert main("run_pretraining", command) == 0
    text = (out / "eval_results.txt").read_text()
    assert main("run_pretraining", command) == 0  # a completed run is not trained again
    assert (out / "eval_results.txt").read_text() == text
    assert main("run_pretraining", [*command, "--learning_rate=1"]) == 2
    lines = (out / "eval_results.txt").read_text().splitlines()
    results = {k: float(v) for k, v in (line.split(" = ") for line in lines)}
    names = ("accuracy", "loss")
    assert list(results) == [
        *("global_step", "loss"),
        *(f"masked_lm_{name}" for name in names),
        *(f"next_sentence_{name}" for name in names),
    ]
    assert results["global_step"] == 3
    both = results["masked_lm_loss"] + results["next_sentence_loss"]
    assert results["loss"] == pytest.approx(both, rel=0.1)
    # The warm-up of 10,000 steps is longer than the run: hardly anything has changed.
    model = keras_bert.BertForPreTraining.from_pretrained(
        out / "model.ckpt-3", config_file=release / "bert_config.json"
    )
    first = keras_bert.BertForPreTraining.from_pretrained(release)
    apart = [
        np.abs(np.array(a) - np.array(b)).max()
        for a, b in zip(model.weights, first.weights, strict=True)
    ]
    assert 0 < max(apart) <= 5e-5 * (1 + 2) / 10_000 * 10


@pytest.mark.parametrize("script", ["run_classifier", "run_squad", "run_pretraining"])
def test_what_was_never_trained_is_not_used(release, glue, records, tmp_path, script):
    """Google's scripts compute with random weights."""
    data = _squad_file(tmp_path / "dev.json", "mat")
    own = {
        "run_classifier": dict(data_dir=glue / "cola", task_name="cola", do_eval="t"),
        "run_squad": dict(predict_file=data, do_predict="t", max_query_length=5),
        "run_pretraining": dict(
            input_file=records, max_predictions_per_seq=3, do_eval="t", vocab_file=None
        ),
    }
    given = dict(output_dir=tmp_path / "out", init_checkpoint="") | own[script]
    flags = [flag for flag in _flags(release, **given) if not flag.endswith("=None")]
    assert main(script, [*flags, *SPEED]) == 2
    assert not (tmp_path / "out").exists()


def test_records_of_other_lengths_are_refused(release, records, tmp_path, capsys):
    flags = _flags(release, input_file=records, output_dir=tmp_path / "out")
    flags = [flag for flag in flags if not flag.startswith("--vocab_file")]
    assert main("run_pretraining", [*flags, "--do_eval", "--max_seq_length=16"]) == 2
    assert "--max_predictions_per_seq=3" in capsys.readouterr().err
