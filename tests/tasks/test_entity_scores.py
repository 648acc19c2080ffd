"""Scores of entities: those of the shared task, of conlleval and of seqeval."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score

from keras_bert.errors import InputError
from keras_bert.tasks.conll_files import Sentence, write_sentences
from keras_bert.tasks.entity_scores import score_files, score_sentences
from tests.cli.calling import call
from tests.paths import SHARED, shared

SYSTEMS = ("arcada", "spinningbytes.txt", "uh_ritual")
TAGS = ("O", "B-X", "I-X", "B-Y", "I-Y")


@pytest.mark.parametrize("system", SYSTEMS)
def test_scores_of_the_shared_task_are_reproduced(system):
    published = json.loads(shared("data", "EXPECTED_SCORES.json").read_text())
    expected = published["ner/wnut17/test.annotated"][system]
    folder = SHARED / "data" / "ner" / "wnut17"
    found = score_files(folder / "test.annotated", folder / "submissions" / system)
    names = {"P": "precision", "R": "recall", "F1": "f1"}
    assert {key: round(found[name], 2) for key, name in names.items()} == expected


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(st.tuples(*[st.sampled_from(TAGS)] * 2), min_size=1), min_size=1)
)
def test_scores_are_those_of_seqeval(pairs):
    right, answers = ([[p[i] for p in row] for row in pairs] for i in (0, 1))
    found = score_sentences(*([Sentence(t, t) for t in x] for x in (right, answers)))
    options = {"zero_division": 0}
    for name, peer in {
        "precision": precision_score,
        "recall": recall_score,
        "f1": f1_score,
    }.items():
        assert found[name] == pytest.approx(100 * peer(right, answers, **options))
    equal = [a == b for row in pairs for a, b in row]
    assert found["accuracy"] == pytest.approx(100 * sum(equal) / len(equal))


def sentences(*rows):
    return [Sentence(tuple(row.split()), tuple(row.split())) for row in rows]


def test_schemes_may_differ_and_types_have_scores_of_their_own():
    gold = sentences("B-X I-X B-X O B-Y", "O O B-Y")  # IOB2
    found = sentences("B-X E-X S-X O S-X", "O O S-Y")  # IOBES
    scores = score_sentences(gold, found)
    assert scores["f1"] == 75
    assert {n: v for n, v in scores.items() if "_" in n} == {
        "X_precision": pytest.approx(200 / 3),
        "X_recall": 100,
        "X_f1": 80,
        "Y_precision": 100,
        "Y_recall": 50,
        "Y_f1": pytest.approx(200 / 3),
    }
    assert score_sentences(gold, sentences("I-X I-X B-X O I-Y", "O O I-Y"))["f1"] == 100
    gold, found = sentences("B-X I-X O"), sentences("I-X I-X O")
    assert score_sentences(gold, found)["f1"] == 100
    found += sentences("B-X B-X B-X")  # now IOB2, which begins with B
    gold += sentences("B-X B-X B-X")
    assert score_sentences(gold, found, strict=True)["recall"] == 75


@pytest.mark.parametrize(
    ("gold", "found", "message"),
    [
        ("a O\nb O\n", "a O\nc O\n", "'b' at line 2 in {0}, and 'c' at line 2 in {1}"),
        (
            "a O\n\nb O\n",
            "a O\nb O\n",
            "the end of a sentence at line 1 in {0}, and 'b'",
        ),
        ("a O\n", "a O\n\nb O\n", "no more sentences in {0}, and 'b' at line 3 in {1}"),
        ("", "a O\n", "Expected sentences in {0}. Received: none"),
        ("a O\nb B-X\n", "a O\nb X\n\na B-X", None),
        ("a B-X\n", "a B-X\nb M-X\nc I-X", None),
    ],
)
def test_files_that_do_not_match_are_refused(tmp_path, gold, found, message):
    files = [tmp_path / "gold", tmp_path / "found"]
    for file, text in zip(files, (gold, found), strict=True):
        file.write_text(text)
    with pytest.raises(InputError) as error:
        score_files(*files)
    assert (message or "").format(*files) in str(error.value)


def test_marks_in_texts_are_scored(tmp_path):
    for name, ends in {"gold": (3, 9), "found": (3, 8)}.items():
        marks = [
            {"start": s, "end": e, "label": "X"}
            for s, e in zip((0, 7), ends, strict=True)
        ]
        line = json.dumps({"text": "Ada in Rome", "entities": marks})
        (tmp_path / f"{name}.jsonl").write_text(line)
    scores = score_files(tmp_path / "gold.jsonl", tmp_path / "found.jsonl")
    assert scores["f1"] == 50 and "accuracy" not in scores
    for name in ("gold", "found"):
        (tmp_path / f"{name}.jsonl").write_text('{"tokens": [], "tags": []}\n')
    assert score_files(tmp_path / "gold.jsonl", tmp_path / "found.jsonl")["f1"] == 0


def test_the_command_prints_one_line(tmp_path):
    gold, found = tmp_path / "gold.conll", tmp_path / "out.conll"
    gold.write_text("Ada PROPN B-PER\nin ADP O\nRome PROPN B-LOC\n\n")
    write_sentences(found, [Sentence(("Ada", "in", "Rome"), ("B-PER", "O", "O"))])
    result = call(
        *("evaluate", "--task", "ner", "--predictions", found, "--data", gold, "--json")
    )
    assert result.status == 0, result.err
    assert len(result.out.splitlines()) == 1
    scores = json.loads(result.out)
    assert [scores[n] for n in ("precision", "recall", "f1")] == [100, 50, 200 / 3]
