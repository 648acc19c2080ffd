"""Tagged words in files: every line counts, or is named."""

import json

import pytest

from keras_bert.errors import InputError, KerasBertError
from keras_bert.tasks.conll_files import (
    Mark,
    Sentence,
    read_sentences,
    write_sentences,
)

PAIR = [Sentence(("Ada", "runs"), ("B-PER", "O")), Sentence(("北",), ("S-LOC",))]


def read(tmp_path, content, name="a.conll", **options):
    path = tmp_path / name
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    path.write_bytes(data)
    return list(read_sentences(path, **options))


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("Ada B-PER\nruns O\n\n北 S-LOC\n", {}),
        ("Ada\tB-PER\nruns\tO\n\n北\tS-LOC", {}),
        ("\ufeffAda B-PER\r\nruns O\r\n\r\n北 S-LOC\r\n\r\n\r\n", {}),
        ("Ada\tB-PER\nruns\tO\n\t\n \n北\tS-LOC\n", {}),  # as WNUT-17 is written
        ("-DOCSTART- -X- O\n\nAda X B-PER\nruns X O\n-DOCSTART- -X- O\n北 X S-LOC", {}),
        ("# text = Ada\nAda B-PER\nruns O\n\n# id 2 of 2\n北 S-LOC\n", {}),
        ("1\tAda\t_\tB-PER\n2\truns\t_\tO\n\n1\t北\t_\tS-LOC\n", {"text": 2}),
        ("B-PER Ada\nO runs\n\nS-LOC 北\n", {"text": "2", "label": 1}),
        (
            "# global.columns = ID NER FORM\n"
            "1\tB-PER\tAda\n2\tO\truns\n\n1\tS-LOC\t北\n",
            {"text": "FORM", "label": "NER"},
        ),
        (
            "tag,word\nB-PER,Ada\nO,runs\n\nS-LOC,北\n",
            {
                "text": "word",
                "label": "tag",
                "delimiter": ",",
            },
        ),
        ("Ada B-PER\nruns O\n\n北 S-LOC\n".encode("gb18030"), {"encoding": "gb18030"}),
        ("Ada B-PER\nruns O\n\n北 S-LOC\n".encode("utf-16"), {"encoding": "utf-16"}),
    ],
)
def test_columns_are_read_as_they_are_written(tmp_path, content, options):
    assert read(tmp_path, content, **options) == PAIR


def test_lines_are_known_and_spaces_of_other_scripts_are_words(tmp_path):
    found = read(tmp_path, "# a b\n\u3000 O\n# O\n\n\xa0 B-X\n")
    assert [s.words for s in found] == [("\u3000", "#"), ("\xa0",)]
    assert [s.lines for s in found] == [(2, 3), (5,)]


def test_words_alone_are_read_without_labels(tmp_path):
    found = read(tmp_path, "Ada\nruns\n\n北\n", labeled=False)
    assert found == [Sentence(s.words) for s in PAIR]
    assert read(tmp_path, "") == read(tmp_path, "\n\n") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "a O\nb\nc O",
            r"2 fields separated by spaces in line 2 .* Received: 1 fields",
        ),
        ("a\tO\nb O\nc\tO", r"separated by '\\t' in line 2 .*'b O'"),
        ("a\tO\n\tO\n", "in line 2 .* 2 fields, number 1 empty"),
        ("a\tO\nb\t\n", "number 2 empty"),
        ("a O\n#b c O\n", "line 2 .* Received: 3 fields"),
        ("a\nb\n", "different columns .* Received: 1 column, both in number 1"),
        ("a O\n\xe9 O\n".encode("latin-1"), "line 2. It may be cp1252"),
    ],
)
def test_an_invalid_line_is_named(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path, content)
    assert "a.conll" in str(error.value)


def test_a_first_line_of_names_is_not_a_word(tmp_path):
    content = "word tag\nAda B-PER\nruns O\n\n北 S-LOC"
    assert read(tmp_path, content, header=True) == PAIR
    with pytest.raises(InputError, match=r"Expected the column 'form' .* word, tag\."):
        read(tmp_path, content, text="form")


@pytest.mark.parametrize(
    "options", [{"label": 3}, {"text": "form", "header": False}, {"label": 0}]
)
def test_an_unknown_column_is_named(tmp_path, options):
    with pytest.raises(InputError, match=r"Expected the column .* Received: 1, 2\."):
        read(tmp_path, "a O\n", **options)


# === JSON lines ===

TEXT = "Zoë in 北京"
RECORD = {
    "text": TEXT,
    "entities": [
        {"start": 7, "end": 9, "label": "LOC", "text": "北京"},
        [0, 3, "PER"],
    ],
}


def lines_of(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def test_json_lines_hold_words_or_marked_texts(tmp_path):
    tokens = {"tokens": ["Ada", "runs"], "tags": ["B-PER", "O"]}
    assert read(tmp_path, lines_of(tokens), "a.jsonl") == PAIR[:1]
    others = {"words": ["Ada", "runs"], "ner_tags": ["B-PER", "O"]}
    assert read(tmp_path, "\n" + lines_of(others), "a.jsonl") == PAIR[:1]
    [found] = read(tmp_path, lines_of(RECORD), "a.jsonl")
    assert found.text == TEXT and found.lines == (1,)
    assert found.marks == (Mark("PER", 0, 3), Mark("LOC", 7, 9))
    [found] = read(tmp_path, lines_of({"text": TEXT}), "a.jsonl", labeled=False)
    assert found == Sentence(text=TEXT)


def changed(**values):
    return {**RECORD, "entities": [{"start": 0, "end": 3, "label": "X", **values}]}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"tokens": ["a"], "tags": []}, "as many tags as tokens in line 1"),
        ({"tokens": ["a", ""], "tags": ["O", "O"]}, "strings as 'tokens' in line 1"),
        ({"tokens": ["a"], "tags": [3]}, "strings as 'tags'"),
        ({"tokens": ["a"]}, "strings as 'tags'"),
        ({"text": "a"}, '"text" with "entities", in line 1'),
        (
            changed(end=99),
            r"line 1 .*characters of a text of 9\. Received: {'start': 0",
        ),
        (changed(start=3), "Received: {'start': 3, 'end': 3"),
        (changed(start=True), "Received: {'start': True"),
        (changed(label=""), "'label': ''"),
        (changed(text="Zo"), "the entity 'Zo' .* 0 to 3, in code points.*'Zoë'"),
        (
            {"text": "ab", "entities": [[0, 2, "A"], [1, 2, "B"]]},
            "do not overlap in line",
        ),
        ({"text": "ab", "entities": ["a"]}, "Received: {}"),
    ],
)
def test_an_invalid_record_is_named(tmp_path, record, message):
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path, lines_of(record), "a.jsonl")
    assert "a.jsonl" in str(error.value)


# === Output ===


@pytest.mark.parametrize("name", ["a.conll", "a.jsonl"])
def test_what_is_written_is_read_again(tmp_path, name):
    write_sentences(tmp_path / name, PAIR)
    assert list(read_sentences(tmp_path / name)) == PAIR
    with pytest.raises(KerasBertError, match="exists"):
        write_sentences(tmp_path / name, PAIR)


def test_marks_are_written_as_json(tmp_path):
    [found] = read(tmp_path, lines_of(RECORD), "a.jsonl")
    write_sentences(tmp_path / "b.jsonl", [found])
    assert list(read_sentences(tmp_path / "b.jsonl")) == [found]


def test_a_word_with_a_space_is_no_column(tmp_path):
    with pytest.raises(InputError, match="Received: 'New York'"):
        write_sentences(tmp_path / "a.conll", [Sentence(("New York",), ("O",))])
    assert not list(tmp_path.iterdir())
