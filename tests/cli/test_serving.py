"""The commands `export`, `serve` and `predict`, in process."""

import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from keras_bert.cli import main, parser_of
from keras_bert.serving.client import Client
from keras_bert.serving.server import Server
from tests.bounds import assert_close
from tests.serving.cases import CHOICES, PAIRS, TEXTS, make_model


@pytest.fixture(scope="module")
def expected(tokenizer):
    return make_model("classes")(tokenizer(TEXTS)).numpy()


def signatures_of(path):
    return tf.saved_model.load(str(path)).signatures


def test_export_then_serve(checkpoint, expected, tmp_path, capsys, monkeypatch):
    output = tmp_path / "sentiment"
    arguments = ["export", "--model", checkpoint, "--output", str(output)]
    options = ["--max-length", "13", "--no-pairs", "--labels", "no", "so", "yes"]
    assert main([*arguments, *options]) == 0
    said = capsys.readouterr().out
    assert re.match(rf"Wrote {re.escape(str(output / '1'))}, \d\.\d MB\n", said)
    assert "  serving_default  text -> label, logits, probabilities\n" in said
    assert f"Try it: keras-bert serve --model sentiment={output}\n" in said

    answers = []
    monkeypatch.setattr(
        Server,
        "wait",
        lambda self: answers.extend(Client(self.url, "sentiment").predict(TEXTS)),
    )
    ports = ["--port", "0", "--grpc-port", "0"]
    assert main(["serve", "--model", f"sentiment={output}", *ports]) == 0
    said = capsys.readouterr().out
    assert "not TF Serving" in said and "/v1/models/sentiment" in said
    assert_close([a["logits"] for a in answers], expected)
    names = np.array(["no", "so", "yes"])
    assert [a["label"] for a in answers] == names[expected.argmax(-1)].tolist()


def test_the_directory_of_a_run_stands_for_its_model(checkpoint, tmp_path):
    def taken(path):
        return parser_of("predict").parse_args(["--model", str(path)]).model

    assert taken(checkpoint) == checkpoint
    (tmp_path / "plan.json").touch()  # which `keras-bert finetune` begins with
    assert taken(tmp_path) == str(tmp_path / "model")


@pytest.mark.parametrize(
    "options, message",
    [
        (["--model", "nowhere"], "at nowhere; nothing is there"),
        (["--output", "{file}"], "file"),
        (["--labels", "a", "b"], "Expected 3 labels"),
        (["--head", "BertForMaskedLM"], "Expected weights of masked_lm"),
        (["--format", "onnx", "--max-length", "7"], "no --max-length"),
        (["--format", "onnx", "--precision", "int8"], "--calibrate FILE"),
    ],
)
def test_export_says_in_one_line_what_is_wrong(
    options, message, checkpoint, tmp_path, capsys
):
    file = tmp_path / "file"
    file.touch()
    output = ["--output", str(tmp_path / "out"), "--ids-only"]
    options = [option.format(file=file) for option in options]
    assert main(["export", "--model", checkpoint, *output, *options]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Error: ") and said.count("\n") == 1 and message in said
    assert [*tmp_path.iterdir()] == [file]


def test_export_obeys_its_options(checkpoint, tmp_path):
    base = ["export", "--model", checkpoint, "--output", str(tmp_path)]
    assert main([*base, "--version", "5", "--ids-only"]) == 0
    assert set(signatures_of(tmp_path / "5")) == {"serving_default", "serve_ids"}
    assert main([*base, "--ids-only"]) == 0
    assert (tmp_path / "6").is_dir()


def test_the_head_is_the_checkpoints_or_the_one_asked_for(checkpoint, tmp_path, capsys):
    base = ["export", "--model", checkpoint, "--output", str(tmp_path)]
    base = [*base, "--ids-only"]
    assert main([*base, "--head", "BertModel"]) == 0
    outputs = signatures_of(tmp_path / "1")["serve_ids"].structured_outputs
    assert set(outputs) == {"last_hidden_state", "pooler_output"}
    assert main([*base, "--head", "BertForMaskedLM"]) == 2
    assert "masked_lm" in capsys.readouterr().err
    assert main([*base, "--head", "BertForMasked"]) == 2
    assert "Did you mean 'BertForMaskedLM'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


@pytest.mark.parametrize(
    "case, name",
    [
        ("pretraining", "BertForPreTraining"),
        ("classes", "BertForSequenceClassification"),
        ("masked_lm", "BertForMaskedLM"),
    ],
)
def test_a_checkpoint_that_names_no_class_is_known_by_its_weights(
    case, name, tmp_path, tokenizer
):
    model = make_model(case)
    path = model.save_pretrained(tmp_path / "c", tokenizer=tokenizer)
    config = json.loads((path / "config.json").read_text())
    config.pop("architectures", None)
    (path / "config.json").write_text(json.dumps(config))
    output = tmp_path / "out"
    arguments = ["--model", str(path), "--output", str(output), "--ids-only"]
    assert main(["export", *arguments]) == 0
    card = json.loads((output / "1" / "assets.extra/model_card.json").read_text())
    assert card["model"] == name


def test_export_and_predict_compute_in_the_dtype_asked_for(
    checkpoint, expected, tmp_path, capsys
):
    given = ["--model", checkpoint, "--dtype", "mixed_bfloat16"]
    assert main(["export", *given, "--output", str(tmp_path), "--ids-only"]) == 0
    weights = tf.saved_model.load(str(tmp_path / "1")).weights
    assert tf.bfloat16 in {weight.dtype for weight in weights}
    capsys.readouterr()
    assert main(["predict", *given, *TEXTS]) == 0
    rows = map(json.loads, capsys.readouterr().out.splitlines())
    logits = np.array([row["logits"] for row in rows])
    assert 1e-5 < np.abs(logits - expected).max() < 0.05


def test_predict_prints_one_line_per_text(checkpoint, expected, capsys):
    assert main(["predict", "--model", checkpoint, *TEXTS]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert_close([r["logits"] for r in rows], expected)
    labels = [f"LABEL_{i}" for i in expected.argmax(-1)]
    names = {"LABEL_0": "bad", "LABEL_1": "fair", "LABEL_2": "good"}
    assert [r["label"] for r in rows] == [names[label] for label in labels]


def test_predict_writes_a_file_and_replaces_none(
    checkpoint, expected, tmp_path, capsys, caplog
):
    source, output = tmp_path / "in.csv", tmp_path / "out.jsonl"
    rows = [f"{text},{number}" for number, text in enumerate(TEXTS)]
    source.write_text("\n".join(["text,key", "", *rows]) + "\n", "utf-8")
    arguments = ["--input", str(source), "--output", str(output), "--id", "key"]
    assert main(["predict", "--model", checkpoint, *arguments]) == 0
    blank, *rows = [json.loads(line) for line in output.open(encoding="utf-8")]
    assert_close([r["logits"] for r in rows], expected)
    numbers = [(row["row"], row["id"]) for row in rows]
    assert numbers == [(i + 2, str(i)) for i in range(len(TEXTS))]
    assert blank == {"row": 1, "label": None, "logits": None, "probabilities": None}
    assert "answered 1 blank row with null" in caplog.text
    # Refused before the model is even looked for.
    assert main(["predict", "--model", "nowhere", *arguments]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.fixture
def asked(monkeypatch):
    """What the command asks a predictor that costs nothing."""
    calls = []

    class Predictor:
        takes_lists, answers_each = False, False

        def __call__(self, texts, pairs=None):
            calls.append((texts, pairs))
            return [{"label": b"x"} for _ in texts]

        def output_names(self):
            return ["label"]

    model = SimpleNamespace(config=None)
    monkeypatch.setattr("keras_bert.cli.predict.load_model", lambda *args: model)
    monkeypatch.setattr("keras_bert.cli.predict.load_tokenizer", lambda *args: None)
    name = "keras_bert.serving.predictor.Predictor"
    monkeypatch.setattr(name, lambda *args, **kwargs: Predictor())
    return SimpleNamespace(calls=calls, predictor=Predictor)


def _predict(*arguments) -> int:
    return main(["predict", "--model", "any", *map(str, arguments)])


TABLES = {
    "lines.txt": "".join(f"{text}\n" for text in TEXTS),
    "tabs.tsv": "".join(map("{}\t{}\r\n".format, TEXTS, PAIRS)),
    "table.tsv": "text\tlabel\n" + "".join(f"{text}\tx\n" for text in TEXTS),
    "table.csv": "label,text,text_pair\n"
    + "".join(f'x,"{t}",{p}\n' for t, p in zip(TEXTS, PAIRS, strict=True)),
    "one.jsonl": "\n".join(json.dumps({"text": text}) for text in TEXTS),
    "two.jsonl": "".join(
        json.dumps({"text": text, "text_pair": pair}) + "\n\n"
        for text, pair in zip(TEXTS, PAIRS, strict=True)
    ),
    "many.jsonl": "".join(
        json.dumps({"text": text, "text_pair": choices}) + "\n"
        for text, choices in zip(TEXTS, CHOICES, strict=True)
    ),
}
NUMBERED = ("--no-header", "--text", "1", "--text-pair", "2")


@pytest.mark.parametrize(
    ("name", "flags", "pairs"),
    [
        ("lines.txt", (), None),
        ("tabs.tsv", NUMBERED, PAIRS),
        ("table.tsv", (), None),
        ("table.csv", (), PAIRS),
        ("one.jsonl", (), None),
        ("two.jsonl", (), PAIRS),
        ("many.jsonl", (), CHOICES),
    ],
)
def test_predict_reads_every_kind_of_file(
    asked, tmp_path, monkeypatch, name, flags, pairs
):
    asked.predictor.takes_lists = pairs is CHOICES
    (tmp_path / name).write_bytes(TABLES[name].encode("utf-8"))
    assert _predict("--input", tmp_path / name, *flags) == 0
    with (tmp_path / name).open(encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert _predict("--input", "-", "--format", name.split(".")[1], *flags) == 0
        assert not file.closed
    assert asked.calls == [(TEXTS, pairs)] * 2


def test_predict_reads_the_command_line(asked):
    assert _predict(*TEXTS) == 0
    assert _predict(*TEXTS, "--pair", *PAIRS) == 0
    assert asked.calls == [(TEXTS, None), (TEXTS, PAIRS)]


def test_a_line_is_not_cut_at_separators_inside_it(asked, tmp_path, capsys):
    source = tmp_path / "in.txt"
    source.write_text("a\u2028b\x0cc\nd\n", "utf-8")
    assert _predict("--input", source) == 0
    assert asked.calls == [(["a\u2028b\x0cc", "d"], None)]
    lines = '{"row": 1, "label": "x"}\n{"row": 2, "label": "x"}\n'
    assert capsys.readouterr().out == lines


def test_answers_line_up_with_rows_read_a_few_at_a_time(
    asked, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("keras_bert.cli.tables.WINDOW", 1)
    source = tmp_path / "in.csv"
    source.write_text("id,text\n7,a\n8,\n\n9,b\n10,c\n\n")
    assert _predict("--input", source, "--batch-size", 2, "--id", "id") == 0
    answered = capsys.readouterr()
    rows = [json.loads(line) for line in answered.out.splitlines()]
    assert [row["row"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.get("id") for row in rows] == ["7", "8", None, "9", "10", None]
    assert [row["label"] for row in rows] == ["x", None, None, "x", "x", None]
    assert asked.calls == [(["a"], None), (["b"], None), (["c"], None)]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "either texts or --input"),
        (["a", "--input", "x"], "either texts or --input"),
        (["--input", "nowhere.txt"], "nowhere.txt"),
        (["a", "b", "--pair", "c"], "2 texts and 1 second"),
        (["a", "b\udcff"], "other bytes"),
        (["--input", "{mixed}", *NUMBERED], "Received: 1"),
        (["--input", "{mixed}"], "--no-header"),
        (["--input", "{mixed}", "--format", "txt"], "a tab in line 1"),
        (["--input", "{broken}"], "line 2"),
        (["--input", "{empty}"], "at least one row"),
        (["--input", "{empty}", "--format", "word"], "'word'"),
    ],
)
def test_predict_refuses_what_it_cannot_read(arguments, message, tmp_path, capsys):
    contents = {
        "mixed.tsv": "a\tb\nc\n",
        "broken.jsonl": '{"text": "a"}\n{"txt": "b"}\n',
        "empty.txt": "",
    }
    files = {}
    for name, content in contents.items():
        files[name.split(".")[0]] = tmp_path / name
        (tmp_path / name).write_text(content)
    arguments = [argument.format(**files) for argument in arguments]
    assert main(["predict", "--model", "never-read", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("listed", "pair", "expected"),
    [(True, "b", "a list of strings"), (False, ["b"], "a string")],
)
def test_a_second_text_is_of_the_kind_the_model_takes(
    asked, tmp_path, capsys, listed, pair, expected
):
    asked.predictor.takes_lists = listed
    source = tmp_path / "in.jsonl"
    source.write_text("\n" + json.dumps({"text": "a", "text_pair": pair}))
    assert _predict("--input", source) == 2
    assert f"Expected {expected} as the second" in (err := capsys.readouterr().err)
    assert "in row 2" in err


def test_predict_chooses_among_alternatives(tmp_path, tokenizer, capsys):
    path = make_model("choices").save_pretrained(tmp_path / "c", tokenizer=tokenizer)
    rows = zip(TEXTS, CHOICES, strict=True)
    source = tmp_path / "in.jsonl"
    source.write_text(
        "".join(json.dumps({"text": t, "text_pair": c}) + "\n" for t, c in rows)
    )
    assert main(["predict", "--model", str(path), "--input", str(source)]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 4
    for answer in answers:
        assert answer["choice"] == int(np.argmax(answer["logits"]))


def saved(model, path, tokenizer):
    return str(model.save_pretrained(path, tokenizer=tokenizer))


def answers_of(capsys, *arguments):
    assert main(["predict", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_predict_answers_questions(tmp_path, tokenizer, capsys):
    path = saved(make_model("answers"), tmp_path / "c", tokenizer)
    passage = "so good a film was it seen " * 5
    limits = ["--max-length", "13", "--doc-stride", "4", "--max-answer-length", "2"]
    given = ["--model", path, *limits, "was it", "what", "--pair", passage, ""]
    found, none = answers_of(capsys, *given)
    assert passage[found["start"] : found["end"]] == found["answer"] != ""
    assert len(found["answer"].split()) <= 2
    assert 0 < found["score"] < 1 and 0 < found["no_answer_score"] < 1
    nothing = {"answer": "", "start": 0, "end": 0, "score": 0.0, "no_answer_score": 1.0}
    assert none == nothing


def test_predict_finds_entities(tmp_path, tokenizer, capsys):
    path = saved(make_model("tokens"), tmp_path / "c", tokenizer)
    text = "so good, a film … was it seen " * 3
    labels = ["--labels", "O", "B-X", "I-X", "--max-length", "13"]
    rows = answers_of(capsys, "--model", path, *labels, text, "")
    lists = ("entity", "text", "start", "end", "score")
    for row in rows:
        assert {len(row[name]) for name in lists} == {row["count"]}
    assert rows[0]["count"] > 0 and rows[1]["count"] == 0
    assert {*rows[0]["entity"]} == {"X"}
    places = zip(rows[0]["start"], rows[0]["end"], strict=True)
    assert [text[start:end] for start, end in places] == rows[0]["text"]


def test_texts_become_vectors_of_any_checkpoint(checkpoint, tmp_path, capsys):
    options = ["--model", checkpoint, "--embeddings", "mean", "--normalize"]
    rows = answers_of(capsys, *options, *TEXTS)
    vectors = np.array([row["embeddings"] for row in rows])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert main(["export", *options, "--output", str(tmp_path / "m")]) == 0
    serve = signatures_of(tmp_path / "m" / "1")["serving_default"]
    received = serve(text=tf.constant(TEXTS))["embeddings"]
    assert_close(vectors, received)


def test_serve_explains_its_argument(tmp_path, capsys):
    assert main(["serve", "--model", "saved_models/x"]) == 2
    assert "NAME=DIR" in capsys.readouterr().err
    assert main(["serve", "--model", f"x={tmp_path}"]) == 2
    assert "keras-bert export" in capsys.readouterr().err
