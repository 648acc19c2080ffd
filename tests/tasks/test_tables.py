"""The one reader of tables: every row accounted for, nothing guessed."""

import csv
import io
import json
import logging
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert.errors import InputError, KerasBertError, MissingFileError
from keras_bert.tasks import (
    Example,
    Table,
    encode,
    filled,
    iter_examples,
    label_names,
    read_examples,
)
from tests.tasks.test_tasks import WordTokenizer

BOTH = {"text": "text", "label": "label"}


def write(path, content: str | bytes):
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    path.write_bytes(data)
    return path


def read(path, content, **options) -> list[Example]:
    return read_examples(write(path, content), **options)


# === Columns ===


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.csv", '"text","label"\n"a","x"\n', {}),
        ("a.csv", '"label", text \nx,a\n', {}),
        ("a.csv", "sentence,class\na,x\n", {"text": "sentence", "label": "class"}),
        ("a.csv", "class,sentence\nx,a\n", {"text": 2, "label": "1"}),
        ("a.csv", "2,1\na,x\n", {"text": "2", "label": "1"}),  # names before numbers
        ("a.csv", "2,1\nx,a\n", {"text": 2, "label": 1}),
        ("a.tsv", "gj04\tx\t*\ta\n", {"header": False, "text": 4, "label": "2"}),
        ("a.csv", "text;label\na;x\n", {"delimiter": ";"}),
        ("a.csv", "text\tlabel\na\tx\n", {"delimiter": "\\t"}),
        ("a.csv", '"text"\t"label"\na\tx\n', {"delimiter": "tab"}),
        ("a.data", '"text"\t"label"\na\tx\n', {"format": "csv", "delimiter": "\t"}),
        ("a.TSV", "text\tlabel\r\na\tx\r\n", {}),
        ("a.csv", "\ufefftext,label\na,x\n", {}),
        ("a.jsonl", '\ufeff{"label": "x", "text": "a"}\n', {}),
        ("a.csv", "text,label\na,x\n".encode("utf-16"), {"encoding": "utf-16"}),
        (
            "a.csv",
            "\ufefftext,label\na,x\n".encode("utf-16-le"),
            {"encoding": "UTF-16LE"},
        ),
    ],
)
def test_columns_by_name_and_number_in_every_form(tmp_path, name, content, options):
    assert read(tmp_path / name, content, **options) == [Example("a", None, "x")]


MISSING = {
    "another name": ("a.csv", "sentence,label\na,x\n", {}, r"--no-header"),
    "no header": ("a.csv", "a,x\nb,y\n", {}, r"'text'.*Received: a, x\..*--no-header"),
    "names without a header": ("a.csv", "a,x\n", {"header": False}, "Received: 1, 2"),
    "a number too high": ("a.csv", "text,label\na,x\n", {"label": 3}, "column 3"),
    "number zero": ("a.csv", "text,label\na,x\n", {"label": "0"}, "column '0'"),
    "semicolons": ("a.csv", "text;label\na;x\n", {}, r"--delimiter ';'"),
    "quoted semicolons": ("a.csv", '"text";"label"\n', {}, r"--delimiter ';'"),
    "tabs": ("a.csv", "text\tlabel\na\tx\n", {}, r"--delimiter '\\t'"),
    "commas": ("a.tsv", "text,label\na,x\n", {}, r"--delimiter ','"),
    "quotes in .tsv": ("a.tsv", '"text"\t"label"\n', {}, r"--format csv --delimiter"),
    "twice": ("a.csv", "text,label,text\na,x,b\n", {}, r"'text' 2 times"),
    "twice in JSON": ("a.jsonl", '{"text": "a", "text": "b"}', {}, "'text' twice"),
    "too many": ("a.csv", "text,label\na,x,y\n", {}, "2 fields in line 2.*Received: 3"),
    "too few": ("a.csv", 'text,label\n"a\nb",x\nc\n', {}, "2 fields in line 4.*: 1"),
    "spaces only": ("a.csv", "text,label\n  ,\n", {}, "at least one example"),
    "an open quote": ("a.csv", 'text,label\na,x\n"b,y\n', {}, "begins in line 3"),
    "a key missing": ("a.jsonl", '{"text": "a"}', {}, "'label' in line 1 of"),
    "later only": (
        "a.jsonl",
        '{"text": "a", "label": 1}\n{"text": "b", "label": 1, "label": 2}',
        {},
        "'label' twice",
    ),
}


@pytest.mark.parametrize("case", MISSING)
def test_what_the_columns_of_a_file_say(tmp_path, case):
    name, content, options, message = MISSING[case]
    with pytest.raises(InputError, match=message) as raised:
        read(tmp_path / name, content, **options)
    assert name in str(raised.value) and "\n" not in str(raised.value)


def test_a_second_text_is_in_every_row_or_in_none(tmp_path):
    columns = {"text": "text", "text_pair": "text_pair"}

    def examples(*rows):
        path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
        return list(iter_examples(Table(path), columns, optional=["text_pair"]))

    one, two = {"text": "a"}, {"text": "a", "text_pair": "b"}
    none = {"text": "a", "text_pair": None}
    assert examples(one, one) == [Example("a")] * 2
    assert examples(none, one) == [Example("a")] * 2
    assert examples(two, two) == [Example("a", "b")] * 2
    assert examples(two, none) == [Example("a", "b"), Example(None)]
    with pytest.raises(InputError, match="'text_pair' in line 2"):
        examples(two, one)
    with pytest.raises(InputError, match="one in line 2, none above"):
        examples(one, two)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delimiter": ""}, "one character"),
        ({"delimiter": ";;"}, "one character"),
        ({"delimiter": '"'}, "one character"),
        ({"delimiter": "\n"}, "one character"),
        ({"delimiter": "a"}, "one character"),
        ({"encoding": "klingon"}, "name of an encoding"),
        ({"encoding": "hex"}, "name of an encoding"),
        ({"encoding": "utf\0"}, "name of an encoding"),
        ({"format": "jsonl", "header": False}, "header and delimiter"),
        ({"format": "txt", "delimiter": ";"}, "header and delimiter"),
        ({"format": "xlsx"}, "'xlsx'.*csv, tsv"),
    ],
)
def test_arguments_that_cannot_be_used(tmp_path, arguments, message):
    with pytest.raises(KerasBertError, match=message):
        Table(write(tmp_path / "a.csv", "a"), **arguments)


def test_files_that_cannot_be_used(tmp_path):
    with pytest.raises(KerasBertError, match=r"'\.xlsx'.*--format csv"):
        Table(write(tmp_path / "a.xlsx", "a"))
    for path in (tmp_path, tmp_path / "none.csv", "\0.csv"):
        with pytest.raises(MissingFileError, match="none is there"):
            Table(path, "csv")


# === Rows ===


def test_blank_rows_are_rows(tmp_path, caplog):
    contents = {
        "a.csv": "text,label\na,x\n\n,\n   \nb,y\n\n",
        "a.tsv": "text\tlabel\na\tx\n\n\t\n   \nb\ty\n\n",
        "a.jsonl": '{"text": "a", "label": "x"}\n\n{"text": null, "label": null}\n \n'
        '{"text": "b", "label": "y"}\n\n',
    }
    for name, content in contents.items():
        path = write(tmp_path / name, content)
        rows = list(Table(path).rows(BOTH))
        assert [row.number for row in rows] == [1, 2, 3, 4, 5, 6], name
        assert [row.cells.get("text") for row in rows] == ["a", *[None] * 3, "b", None]
        first = 2 if name != "a.jsonl" else 1
        assert rows[4].place == f"line {first + 4}"
        caplog.clear()
        examples = read_examples(path)
        assert [e.row for e in examples] == [1, 5]
        assert "left out 4 blank rows" in caplog.text


def test_lines_of_text(tmp_path):
    path = write(tmp_path / "a.txt", "a\u2028b \r\n\n c, d\n")
    found = [row.cells["text"] for row in Table(path).rows({"text": "text"})]
    assert found == ["a\u2028b ", None, " c, d"]
    with pytest.raises(InputError, match=r"a tab in line 1.*--format tsv"):
        read_examples(write(path, "a\tb\n"), label=None)


def test_text_of_any_length(tmp_path):
    text = "long " * 100_000
    assert read(tmp_path / "a.csv", f'text,label\n"{text}",x\n')[0].text == text


ENCODINGS = {
    "utf-16": ("text,label\na,x\n".encode("utf-16"), "line 1.*--encoding utf-16\\)"),
    "without a mark": ("text,label\n".encode("utf-16-le"), "--encoding utf-16-le"),
    "big end first": ("text,label\n".encode("utf-16-be"), "--encoding utf-16-be"),
    "utf-32": ("text,label\n".encode("utf-32"), "--encoding utf-32"),
    "chinese": ("text,label\n\n中国人民,x\n".encode("gbk"), "line 3.*gb18030"),
    "western": ("text,label\nun café,x\n".encode("cp1252"), "line 2.*cp1252"),
    "cut": ("text,label\na,é".encode()[:-1], "line 2"),
    "a surrogate": (b"text,label\na\xed\xa0\x80,x\n", "line 2"),
    "NUL": (b"text,label\na,x\nb\0,y\n", "line 3"),
    "gzip": (b"\x1f\x8b\x08\x00", "compressed by gzip"),
    "a workbook": (b"PK\x03\x04\x14\x00", "an Excel workbook"),
    "parquet": (b"PAR1\x15\x04\x15\x00", "a Parquet file"),
}


@pytest.mark.parametrize("case", ENCODINGS)
def test_other_encodings_are_named(tmp_path, case):
    content, message = ENCODINGS[case]
    for name in ("a.csv", "a.txt"):
        table = Table(write(tmp_path / name, content))
        with pytest.raises(InputError, match=message):
            list(table.rows({"text": "text"}))


@pytest.mark.parametrize("encoding", ["utf-16", "gb18030", "shift_jis", "cp1252"])
def test_encodings_are_read(tmp_path, encoding):
    text = "café" if encoding == "cp1252" else "中国"
    for name, content in [
        ("a.csv", f"text,label\n{text},x\n"),
        ("a.jsonl", json.dumps({"text": text, "label": "x"}, ensure_ascii=False)),
    ]:
        content = content.encode(encoding)
        (example,) = read(tmp_path / name, content, encoding=encoding)
        assert example.text == text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": 5, "label": 1}', "string as the text in line 1 .*of type int"),
        ('{"text": ["a"], "label": 1}', "string as the text .*of type list"),
        ('{"text": {}, "label": 1}', "string as the text .*of type dict"),
        ('{"text": true, "label": 1}', "string as the text .*of type bool"),
        ('{"text": "\\ud83d", "label": 1}', "text in line 1 .*a lone surrogate"),
        ('{"text": "a", "label": "\\udc00"}', "label in line 1 .*a lone surrogate"),
        ('{"text": "a", "label": {"x": 1}}', "string as the label .*of type dict"),
        ('{"text": "a", "label": [["x"]]}', "string as the label .*of type list"),
        ('{"text": "a", "label": ["x", null]}', "string as the label .*: null"),
        ('{"text": "a", "label": ["x", ""]}', "labels in line 1"),
        ('{"text": "a", "label": ["x", NaN]}', "labels in line 1"),
        ('{"text": "a", "label": ' + "9" * 5000 + "}", "4300 digits"),
        ('{"text": "a", "label": ' + "[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('["a"]', "a JSON list"),
        ("null", "a JSON NoneType"),
        ("{'text': 'a'}", "at character 2"),
    ],
)
def test_json_that_is_no_example(tmp_path, line, message):
    with pytest.raises(InputError, match=message) as raised:
        read(tmp_path / "a.jsonl", line)
    assert "line 1 of" in str(raised.value) and len(str(raised.value)) < 400


# === Labels ===


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\na,x\nb,\nc,  \n", "a label in every row.* in row 2, 3"),
        ("text,label\na,nan\n", "a label .* in row 1"),
        ("text,label\na,x\n,y\n", "a text in every row.* in row 2"),
        ("text,label\n" + "a,\n" * 9, "in row 1, 2, 3, 4, 5 and 4 more"),
    ],
)
def test_rows_without_text_or_label_are_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path / "a.csv", content)


def test_spaces_around_labels_are_removed_and_said(tmp_path, caplog):
    found = read(tmp_path / "a.csv", "text,label\na, good\nb,good\nc,good\u00a0\n")
    assert label_names(found) == ["good"]
    assert "spaces around ' good' in line 2, 'good\\xa0' in line 4" in caplog.text


def test_labels_that_are_whole_numbers_are_in_the_order_of_their_values():
    examples = [Example("a", label=str(i)) for i in (10, 2, 0, 1)]
    assert label_names(examples) == ["0", "1", "2", "10"]
    assert label_names([*examples, Example("a", label="x")])[:2] == ["0", "1"]


def test_lists_of_labels(tmp_path):
    lines = ['{"text": "a", "label": ["y", "x"]}', '{"text": "b", "label": []}']
    from_json = read(tmp_path / "a.jsonl", "\n".join(lines))
    content = "text,label\na, y | x\nb,\n"
    from_csv = read(tmp_path / "a.csv", content, label_separator="|")
    assert (
        from_json
        == from_csv
        == [Example("a", None, ("y", "x")), Example("b", None, ())]
    )
    _, labels = encode(from_json, WordTokenizer(), 9, label_names(from_json))
    assert labels.tolist() == [[1, 1], [0, 0]]
    with pytest.raises(InputError, match="lists in 1 of 2 rows, first in row 1"):
        read(tmp_path / "a.jsonl", lines[0] + '\n{"text": "b", "label": "x"}')
    with pytest.raises(InputError, match="characters between labels"):
        read(tmp_path / "a.csv", content, label_separator="")


def test_unknown_labels_are_named_with_their_row(tmp_path):
    found = read(tmp_path / "a.csv", "text,label\na,x\n\nb,z\n")
    with pytest.raises(InputError, match=r"'z' in row 3 of a\.csv"):
        encode(found, WordTokenizer(), 9, ["x", "y"], source="a.csv")
    with pytest.raises(InputError, match=r"'x' in row 1\."):
        encode(found, WordTokenizer(), 9)


def test_ids_are_kept(tmp_path):
    path = write(
        tmp_path / "a.jsonl", '{"text": "a", "k": 7}\n\n{"text": "b", "k": 1.5}'
    )
    columns = {"text": "text", "id": "k"}
    found = [e.place for e in iter_examples(Table(path), columns)]
    assert found == [{"row": 1, "id": 7}, {"row": 2}, {"row": 3, "id": "1.5"}]


# === Parquet ===


def write_parquet(path, **columns):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table(columns), path)
    return path


def test_parquet(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_bert.tasks.tables.ROWS_AT_ONCE", 2)
    path = write_parquet(
        tmp_path / "a.parquet",
        text=["a", None, "c", "d"],
        label=[1, None, 0, 1],
        tags=[["x"], None, [], ["x", "y"]],
        key=[5, 6, 7, 8],
    )
    found = read_examples(path, id="key")
    expected = [
        Example("a", None, "1"),
        Example("c", None, "0"),
        Example("d", None, "1"),
    ]
    assert found == expected
    assert [e.place for e in found] == [{"row": i, "id": i + 4} for i in (1, 3, 4)]
    tags = [e.label for e in read_examples(path, text=1, label=3)]
    assert tags == [("x",), (), ("x", "y")]
    with pytest.raises(InputError, match=r"'none'.*: text, label, tags, key\."):
        read_examples(path, label="none")
    with pytest.raises(InputError, match="string as the text in row 1"):
        read_examples(path, text="key")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"a Parquet file in .*a\.parquet"):
        read_examples(path)


# === Properties ===

# What could be taken for the form of a file.
TEXTS = st.text("a1\"',;|\t\r\n \\{}[]#=\u00a0\u2028\ufeff\x0b\x1aé中😀", max_size=9)
TABLES = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6)


def _cells(path, columns=("text", "label"), **options) -> list[tuple]:
    wanted = {name: name for name in columns}
    rows = Table(path, **options).rows(wanted)
    return [tuple(row.cells.get(name) for name in columns) for row in rows]


def _expected(rows) -> list[tuple]:
    return [tuple(cell if cell.strip() else None for cell in row) for row in rows]


@settings(max_examples=60, deadline=None)
@given(TABLES, st.sampled_from(",;|\t"))
def test_what_csv_and_json_write_is_read_back(rows, delimiter):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
            writer.writerows([("text", "label"), *rows])
        assert _cells(path, delimiter=delimiter) == _expected(rows)
        path = Path(folder, "a.jsonl")
        lines = [json.dumps({"text": a, "label": b}) for a, b in rows]
        path.write_text("\n".join(lines), encoding="utf-8")
        assert _cells(path) == _expected(rows)


@settings(max_examples=20, deadline=None)
@given(TABLES)
def test_what_pyarrow_writes_is_read_back(rows):
    with tempfile.TemporaryDirectory() as folder:
        text, label = map(list, zip(*rows, strict=True))
        path = write_parquet(Path(folder, "a.parquet"), text=text, label=label)
        assert _cells(path) == _expected(rows)


def _seeds(tmp_path) -> dict[str, bytes]:
    parquet = write_parquet(tmp_path / "seed.parquet", text=["a", "b"], label=["x", ""])
    return {
        "csv": b'text,label\n"a, ""b",x\n\nc,"y\nz"\n',
        "tsv": b'text\tlabel\na "b"\tx\n',
        "jsonl": b'{"text": "a", "label": ["x"]}\n{"text": "\\u4e2d", "label": []}\n',
        "parquet": parquet.read_bytes(),
        "txt": "one text\nzwölf\n".encode(),
    }


def _mutant(data: bytes, draw: random.Random) -> bytes:
    pieces = (b"\xff\xfe", b'"', b"\n", b"\r", b"\0", b"[", b"\\ud800", b"\xe4", b"\t")
    data = bytearray(data)
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(data) + 1)
        data[at : at + draw.randint(0, 3)] = draw.choice(
            [*pieces, draw.randbytes(draw.randint(0, 3))]
        )
    return bytes(data)


def test_damaged_files_raise_errors_of_this_package_alone(tmp_path, caplog):
    draw, seeds = random.Random(7), _seeds(tmp_path)
    caplog.set_level(logging.ERROR)
    outcomes = set()
    for number in range(500):
        kind = draw.choice(list(seeds))
        path = write(tmp_path / f"a.{kind}", _mutant(seeds[kind], draw))
        columns = {"text": "text"} if kind == "txt" else BOTH
        separator = draw.choice([None, "|"])
        try:
            filled(
                iter_examples(Table(path), columns, label_separator=separator),
                path.name,
                labeled=kind != "txt",
            )
            outcomes.add((kind, "read"))
        except KerasBertError as error:
            assert "\n" not in str(error), (number, error)
            outcomes.add((kind, "refused"))
    assert outcomes == {(kind, how) for kind in seeds for how in ("read", "refused")}


def test_standard_input_stays_open(monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(b"text,label\na,x\n"))
    monkeypatch.setattr("sys.stdin", stdin)
    assert read_examples("-", format="csv") == [Example("a", None, "x")]
    assert not stdin.buffer.closed
