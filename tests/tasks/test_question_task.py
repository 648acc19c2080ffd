"""Questions and choices as tasks: trained, scored, asked, kept."""

import json

import pytest

from keras_bert.cli import main
from keras_bert.errors import InputError, KerasBertError, UnknownNameError
from keras_bert.serving import predictor
from keras_bert.serving.graph.servable import Servable
from keras_bert.tasks import MultipleChoice, QuestionAnswering
from keras_bert.tasks.squad_scores import score_answers
from tests.serving.cases import VOCAB, make_model

assert VOCAB  # of the fixture `tokenizer`
QUIET = {"show_progress": False}
SIZES = {"max_length": 12, "doc_stride": 3, "max_query_length": 2}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, tokenizer):
    path = tmp_path_factory.mktemp("m") / "encoder"
    return make_model("encoder").save_pretrained(path, tokenizer=tokenizer)


# === Questions ===


def asked(id, question, context, *answers):
    places = [{"text": a, "answer_start": context.index(a)} for a in answers]
    return {"id": id, "question": question, "context": context, "answers": places}


LONG = "it was not a film seen a film was not it seen so really good"
ITEMS = [
    asked("1", "was it", LONG, "good", "really good"),
    asked("2", "was it", "a bad, film", "bad"),
    asked("3", "was it", "so Good film", "Good"),
    asked("4", "not", "a film seen"),
]


def squad(path, items):
    """Writes items as a file of SQuAD, each with a paragraph of its own."""
    paragraphs = [
        {"context": x["context"], "qas": [{k: x[k] for k in x if k != "context"}]}
        for x in items
    ]
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    return path


@pytest.fixture(scope="module")
def trained(pretrained, tmp_path_factory):
    """A task that learned where good and bad are, from a file; and the file."""
    folder = tmp_path_factory.mktemp("qa")
    data = squad(folder / "train.json", ITEMS)
    task = QuestionAnswering.from_pretrained(pretrained, **SIZES)
    options = {"epochs": 60, "learning_rate": 1e-2, "batch_size": 4, **QUIET}
    return task.fit(data, output=folder / "run", **options), data


def test_it_learns_answers_in_windows_and_that_there_are_none(trained):
    task, data = trained
    scores = task.evaluate(data)
    assert scores["exact_match"] == scores["HasAns_exact"] == 100
    assert scores["NoAns_total"] == 1 and scores["best_f1"] == 100
    assert task.evaluate(ITEMS, metrics=["f1"]) == {"f1": 100}
    assert len(task.windows(task.read(ITEMS))) > len(ITEMS)


def test_answers_are_those_of_the_exported_graph(trained, monkeypatch):
    task, data = trained
    answers = task.predict(data)
    for item, answer in zip(ITEMS, answers, strict=True):
        text = item["context"][answer["start"] : answer["end"]]
        assert answer["answer"] == text
        if item["answers"]:
            assert text in [x["text"] for x in item["answers"]]
            assert answer["score"] > answer["no_answer_score"]
        else:
            assert answer["no_answer_score"] > answer["score"]
    # Asked again, it traces nothing, and answers with the weights of now.
    monkeypatch.setattr(predictor, "Predictor", None)
    assert task.predict(["was it"], ["so Good film"])[0]["answer"] == "Good"
    kernel = task.model.qa_outputs.kernel
    before = kernel.numpy()
    kernel.assign(0 * before)
    assert task.predict(data)[1]["score"] < answers[1]["score"] / 2
    kernel.assign(before)


def test_what_is_kept_reads_windows_as_it_learned(trained):
    task, data = trained
    loaded = QuestionAnswering.load(data.parent / "run" / "model")
    assert (loaded.row_length, loaded.overlap) == (12, 3)
    served = Servable(loaded.model, loaded.tokenizer).settings
    assert (served.max_length, served.doc_stride) == (12, 3)
    assert loaded.evaluate(data) == pytest.approx(task.evaluate(data), rel=1e-5)


def test_the_command_trains_scores_and_writes_googles_files(trained, tmp_path, capsys):
    task, data = trained
    model = str(data.parent / "run" / "model")
    flags = ["--task", "qa", "--data", str(data), "--model", model, "--json"]
    for name in ("predictions", "nbest", "null-odds"):
        flags += [f"--{name}", str(tmp_path / name)]
    assert main(["evaluate", *flags]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed.pop("examples") == 4
    assert printed == pytest.approx(task.evaluate(data), rel=1e-5)
    read = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert read["predictions"]["4"] == "" and read["null-odds"]["4"] > 0
    assert read["nbest"]["2"][0]["text"] == "bad"
    scores = score_answers(task.read(data), read["predictions"], rules="squad-2.0")
    assert {k: printed[k] for k in scores} == pytest.approx(scores)
    out = str(tmp_path / "run")
    train = ["--train", str(data), "--model", model, "--output", out]
    recipe = ["--recipe", "squad-2.0", "--max-length", "12", "--doc-stride", "3"]
    assert main(["finetune", *train, *recipe, "--epochs", "1", "--dry-run"]) == 0
    assert "4 questions, 1 without an answer" in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_answers_the_questions_of_a_file(trained, capsys):
    _, data = trained
    model = str(data.parent / "run" / "model")
    assert main(["predict", "--model", model, "--input", str(data)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["id"] for line in lines] == ["1", "2", "3", "4"]
    assert [line["answer"] for line in lines[1:3]] == ["bad", "Good"]


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ([], {}, "questions"),
        ([{"question": "a"}], {}, "'context' in question 1"),
        (ITEMS, {"labels": [1]}, "within the data"),
        (ITEMS, {"text": "x"}, "option of data for qa"),
    ],
)
def test_data_of_another_form_is_refused(trained, data, options, message):
    with pytest.raises(KerasBertError, match=message):
        trained[0].evaluate(data, **options)


def test_null_odds_need_questions_without_answers(trained, tmp_path):
    task, _ = trained
    options = {"may_be_impossible": False}
    certain = QuestionAnswering(task.model, task.tokenizer, **options)
    found = certain.outputs(certain.read(ITEMS[:1]))
    assert task.outputs(task.read(ITEMS[:1])).null_odds  # as in training
    with pytest.raises(InputError, match="may have no answer"):
        task.write_predictions(tmp_path / "a", [], found, null_odds=tmp_path / "b")
    assert not list(tmp_path.iterdir())


# === Choices ===

CHOICES = [
    {"text": "it was", "choices": ["seen good", "seen bad", "seen so"], "label": 0},
    {"text": "a film", "choices": ["not", "really good", "bad"], "label": 1},
    {"text": "so it was", "choices": ["bad", "not", "good"], "label": 2},
]


def lines(path, items=CHOICES):
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def swag(path):
    path.write_text(
        ",video-id,sent1,sent2,ending0,ending1,ending2,ending3,label\n"
        '0,v,"it was, so",a film,seen,bad,good,not,2\n'
        "1,v,it was,not,good,bad,so,it,0\n"
    )
    return path


def test_it_learns_choices_and_is_kept(pretrained, tmp_path):
    data = lines(tmp_path / "train.jsonl")
    task = MultipleChoice.from_pretrained(pretrained, max_length=11)
    options = {"epochs": 20, "learning_rate": 2e-2, "batch_size": 3, **QUIET}
    task.fit(data, **options)
    assert task.evaluate(data) == {"accuracy": 1}
    answers = task.predict(CHOICES)
    assert [x["choice"] for x in answers] == [0, 1, 2]
    assert [x["answer"] for x in answers] == ["seen good", "really good", "good"]
    loaded = MultipleChoice.load(task.save(tmp_path / "kept"))
    pairs = [(x["text"], x["choices"]) for x in CHOICES]
    assert loaded.evaluate(pairs, [0, 1, 2]) == {"accuracy": 1}
    rows = [
        *task.read(data),
        *task.rows(
            lines(tmp_path / "b.jsonl", [dict.fromkeys(CHOICES[0])]), labeled=False
        ),
    ]
    outputs = task.outputs(rows[:3])
    task.write_predictions(tmp_path / "out.jsonl", rows, outputs)
    written = [json.loads(x) for x in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [x["prediction"] for x in written] == [0, 1, 2, None]
    assert [x["label"] for x in written[:3]] == [0, 1, 2]


def test_the_columns_of_swag(pretrained, tmp_path, capsys):
    data = swag(tmp_path / "train.csv")
    task = MultipleChoice.from_pretrained(pretrained, max_length=12)
    first, second = task.read(data)
    assert first.text == "it was, so" and first.label == "2"
    assert first.text_pair == ("a film seen", "a film bad", "a film good", "a film not")
    features, labels = task.encode([first, second])
    assert features["input_ids"].shape == (2, 4, 10) and labels.tolist() == [2, 0]
    flags = ["--recipe", "swag", "--train", str(data), "--model", str(pretrained)]
    flags += ["--output", str(tmp_path / "run"), "--max-length", "12", "--dry-run"]
    assert main(["finetune", *flags]) == 0
    assert "2 examples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"label": 3}, InputError, "0 to 2, as the label of row 2 of"),
        ({"label": None}, InputError, "label in every row of .*row 2"),
        ({"choices": ["a"]}, InputError, "two strings or more.*line 2 of|line 2 of"),
        ({"choices": ["a", "b"]}, InputError, "3 choices in each row.* in row 2"),
        ({"text": 3}, InputError, "a text in line 2"),
    ],
)
def test_choices_that_cannot_be_used(pretrained, tmp_path, changes, error, message):
    data = lines(tmp_path / "x.jsonl", [CHOICES[0], CHOICES[1] | changes])
    task = MultipleChoice.from_pretrained(pretrained)
    with pytest.raises(error, match=message):
        task.read(data)
    with pytest.raises(UnknownNameError, match="option of data for multiple-choice"):
        task.read(data, label_separator="|")
