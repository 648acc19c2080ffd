"""Sources of text, and the splitting of running text into sentences."""

import gzip
import json
import os
import pickle
import sys
from collections import Counter
from itertools import chain, groupby, pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keras_bert.errors import (
    ConfigError,
    InputError,
    MissingExtraError,
    MissingFileError,
)
from keras_bert.pretraining.sentences import split_sentences
from keras_bert.pretraining.sources import (
    IRREGULARITIES,
    SOURCES,
    Documents,
    JsonLines,
    RawBlock,
    RawDocuments,
    Source,
    SourceGroup,
    TensorFlowDatasets,
    TextFiles,
    base,
    cutting,
    describe_irregularities,
    items,
)
from tests.paths import shared


def read(source: Source) -> tuple[list[list[str]], Counter[str]]:
    """All documents of a source, by way of copies as other processes have them."""
    found: list[list[str]] = []
    counts: Counter[str] = Counter()
    worker = pickle.loads(pickle.dumps(source))
    for block in all_blocks(source):
        documents, odd = worker.documents(pickle.loads(pickle.dumps(block)))
        found += documents
        counts += odd
    return found, counts


def all_blocks(source: Source) -> list[RawBlock]:
    return [block for group in source.groups() for block in source.blocks(group)]


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def words(documents: list[list[str]]) -> list[str]:
    return [w for document in documents for line in document for w in line.split()]


# Text files

# What can go wrong between documents, at line ends and inside characters.
BLANKS = "\n|\n\n|\r\n|\r|  |\t|\x0b|\x1c|\x85|\u2028|\u3000|\xa0".split("|")
TEXTS = st.sampled_from([*BLANKS, "a", "bc d", "é", "中文", "😀", "\0", "."])
BYTES = st.sampled_from([b"\xff", b"\xe4\xb8", b"\xef\xbb\xbf", b"\n \n"])
FRAGMENTS = TEXTS.map(str.encode) | BYTES
CONTENTS = st.lists(FRAGMENTS, max_size=60).map(b"".join)


def read_plainly(*contents: bytes) -> list[list[str]]:
    """Documents, read line by line."""
    found = []
    for content in contents:
        text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
        lines = [line.strip() for line in text.split("\n")]
        found += [list(run) for filled, run in groupby(lines, bool) if filled]
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(CONTENTS, min_size=1, max_size=4), st.integers(16, 90), st.booleans())
@example([b"a\n\n\xe3\x80\x80\n\nb\n\nc"], 16, False)
def test_blocks_hold_the_documents_that_lines_hold(
    tmp_path, contents, block_bytes, compressed
):
    # No document here is long enough to be cut.
    suffix = ".txt.gz" if compressed else ".txt"
    files = [write(tmp_path / f"{i}{suffix}", c) for i, c in enumerate(contents)]
    source = TextFiles(files, block_bytes)
    with pytest.MonkeyPatch.context() as patch:
        for module in (base, cutting, items):
            patch.setattr(module, "LONGEST_DOCUMENT", 10_000)
        found = []
        for group in source.groups():
            blocks = list(source.blocks(group))
            made = [source.documents(block)[0] for block in blocks]
            assert [block.index for block in blocks] == list(range(len(blocks)))
            assert sum(block.size for block in blocks) == group.size
            if sum(map(len, made)) >= 2:
                assert min(map(len, made)) >= 2
            found += [document for documents in made for document in documents]
    assert found == read_plainly(*contents)


@pytest.mark.parametrize("block_bytes", [3000, 1 << 15, 1 << 22])
def test_blocks_are_about_as_large_as_asked(block_bytes):
    file = shared("data", "corpora", "gutenberg", "alice.txt")
    source = TextFiles(file, block_bytes)
    assert read(source)[0] == read_plainly(file.read_bytes())
    blocks = all_blocks(source)
    sizes = [sum(len(part.data) for part in block.content) for block in blocks]
    mark = 3  # bytes at the beginning of the file
    assert sum(sizes) + mark == source.size == file.stat().st_size > 100_000
    assert all(block_bytes <= size < 2 * block_bytes for size in sizes[:-1])


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
@pytest.mark.parametrize(
    ("content", "documents", "odd"),
    [
        (b"", [], {"empty_files": 1}),
        (b" \r\n\n \t\n", [], {"empty_files": 1}),
        (b"\n" * 5000, [], {"empty_files": 1}),
        (b"A\r\nb\r\n\r\nC\r\nd\r\n", [["A", "b"], ["C", "d"]], {}),
        (b"\xef\xbb\xbfA\nb", [["A", "b"]], {}),
        (b"A\n\xe3\x80\x80\nB\nc", [["A"], ["B", "c"]], {"one_sentence_documents": 1}),
        (b"A\0\nb\0\0", [["A\0", "b\0\0"]], {"nul_bytes": 3}),
        (b"A\xff\nb\xc3\n\n", [["A\ufffd", "b\ufffd"]], {"invalid_utf8": 2}),
        ("A\ufffd\nb\n".encode(), [["A\ufffd", "b"]], {}),
        (b"A\xff\nb\xef\xbf\xbd", [["A\ufffd", "b\ufffd"]], {"invalid_utf8": 1}),
    ],
)
def test_odd_text_is_counted(tmp_path, name, content, documents, odd):
    source = TextFiles(write(tmp_path / name, content), 64)
    assert read(source) == (documents, Counter(odd))


def test_irregularities_are_all_named():
    assert set(IRREGULARITIES) >= {"invalid_utf8", "nul_bytes", "empty_documents"}
    counts = Counter(
        {
            "tokens": 99,
            "one_sentence_documents": 1234,
            "invalid_json": 3,
            "invalid_json at b:2": 1,
            "invalid_json at a.jsonl:17": 1,
            "invalid_json at a.jsonl:5": 1,
        }
    )
    assert describe_irregularities(counts) == [
        "1,234 documents of one sentence",
        "3 lines that are not JSON, dropped (first at a.jsonl:5)",
    ]


@pytest.mark.parametrize(
    "document",
    [
        " ".join(f"word{i}" for i in range(2000)),
        "\n".join(f"line {i} of a document" for i in range(700)),
        "漢字" * 3000,
        "x" * 16_000,
        "é😀" * 2000,
    ],
    ids=["words", "lines", "chinese", "one word", "characters of two and four bytes"],
)
@pytest.mark.parametrize("block_bytes", [16, 101, 1000])
def test_a_document_too_long_is_cut_and_nothing_lost(tmp_path, document, block_bytes):
    text = f"Short.\nBefore.\n\n{document}\n\nAfter.\nthis\n\nThe\nlast."
    source = TextFiles(write(tmp_path / "a.txt", text), block_bytes)
    found, odd = read(source)
    assert found[0] == ["Short.", "Before."]
    assert found[-2:] == [["After.", "this"], ["The", "last."]]
    pieces = ["\n".join(piece) for piece in found[1:-2]]
    assert len(pieces) > len(document.encode()) / (8 * block_bytes)
    assert max(len(piece.encode()) for piece in pieces) <= 3 * block_bytes
    assert "".join("".join(pieces).split()) == "".join(document.split())
    if " " in document:
        assert words(found[1:-2]) == document.split()
    alone = sum("\n" not in piece for piece in pieces)
    assert odd == +Counter(cut_documents=1, one_sentence_documents=alone)
    held = [sum(len(part.data) for part in x.content) for x in all_blocks(source)]
    assert max(held) <= 4 * block_bytes + len(text) - len(document)


def test_many_documents_too_long_are_each_counted(tmp_path):
    long = "\n".join(f"sentence number {i}" for i in range(60))
    text = "\n\n".join([long, "Short.\nOne.", long, long])
    found, odd = read(TextFiles(write(tmp_path / "a.txt", text), 64))
    assert odd["cut_documents"] == 3
    assert [line for document in found for line in document] == [
        line for line in text.split("\n") if line
    ]


def test_a_line_of_ten_megabytes(tmp_path):
    line = "some words " * 950_000
    file = write(tmp_path / "a.txt", f"A\n{line}\nb\n\nC\nd\n")
    found, odd = read(TextFiles(file))
    assert odd == {"long_lines": 1}
    assert [len(document) for document in found] == [12, 2]
    assert max(map(len, found[0])) <= 1 << 20
    assert " ".join(found[0]) == f"A {line.strip()} b"


def test_input_without_documents_is_not_held_whole(tmp_path):
    file = write(tmp_path / "a.jsonl", b"not json\n" * 4000)
    source = JsonLines(file, 100)
    assert max(block.size for block in all_blocks(source)) < 40 * 100
    assert read(source)[1]["invalid_json"] == 4000


def test_names_patterns_lists_and_what_is_not_there(tmp_path):
    for name in ("b.txt", "a.txt", "c.txt.gz"):
        write(tmp_path / name, f"{name}\nand more\n")
    found, odd = read(TextFiles(f"{tmp_path}/?.txt,{tmp_path}/c.txt.gz"))
    assert [document[0] for document in found] == ["a.txt", "b.txt", "c.txt.gz"]
    assert not odd
    with pytest.raises(MissingFileError, match=r"none\.txt"):
        TextFiles(tmp_path / "none.txt")
    with pytest.raises(ConfigError, match="block_bytes"):
        TextFiles(tmp_path / "a.txt", 15)


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-9], lambda data: data[:40] + b"??" + data[42:], bytes.upper],
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, damage):
    file = write(tmp_path / "a.txt.gz", "".join(f"{i}, {i**3}\n" for i in range(999)))
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match=r"a\.txt\.gz"):
        read(TextFiles(file))


def test_a_file_that_went_away_is_an_error(tmp_path):
    source = TextFiles(write(tmp_path / "a.txt", "A\nb\n"))
    os.remove(tmp_path / "a.txt")
    with pytest.raises(InputError, match=r"a\.txt"):
        read(source)


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([5], [[0]]),
        ([5, 5, 5], [[0, 1, 2]]),
        ([50, 50, 50, 50], [[0, 1], [2, 3]]),
        ([50, 50, 50], [[0, 1, 2]]),
        ([300, 300], [[0], [1]]),
        ([300, 1, 300, 1], [[0], [1, 2, 3]]),
        ([0, 0, 0, 99, 1, 1], [[0, 1, 2, 3, 4, 5]]),
    ],
)
def test_small_files_are_read_with_their_neighbors(tmp_path, sizes, groups):
    files = [write(tmp_path / f"{i}.txt", b"x" * size) for i, size in enumerate(sizes)]
    found = TextFiles(files, 100).groups()
    assert found == [
        SourceGroup(
            i, tuple(str(files[k]) for k in group), sum(sizes[k] for k in group)
        )
        for i, group in enumerate(groups)
    ]


def test_ends_of_files_end_documents(tmp_path):
    files = [write(tmp_path / f"{i}.txt", f"A{i}\nb{i}") for i in range(5)]
    for source in (TextFiles(files), TextFiles(files, 16)):
        assert read(source)[0] == [[f"A{i}", f"b{i}"] for i in range(5)]


def test_what_identifies_the_input(tmp_path):
    file = write(tmp_path / "a.txt", "A\nb\n")
    first = TextFiles(file).fingerprint()
    assert json.loads(json.dumps(first)) == first == TextFiles(file).fingerprint()
    others = [RawDocuments(file), JsonLines(file), TextFiles(file, 99)]
    others += [RawDocuments(file, per_file=True), RawDocuments(file, wrapped=False)]
    others += [JsonLines(file, field="x"), JsonLines(file, wrapped=True)]
    os.utime(file, ns=(7, 7))
    others += [TextFiles(file)]
    write(file, "A\nbc\n")
    os.utime(file, ns=(7, 7))
    others += [TextFiles(file)]
    seen = [first, *(other.fingerprint() for other in others)]
    assert len({json.dumps(each) for each in seen}) == len(seen)


def test_workers_need_no_tensorflow(tmp_path, monkeypatch):
    file = write(tmp_path / "a.txt", "A b.\nC.\n")
    for name in ("tensorflow", "tensorflow_datasets"):
        monkeypatch.setitem(sys.modules, name, None)
    for cls in (TextFiles, RawDocuments, JsonLines):
        assert read(cls(file)) is not None
    with pytest.raises(MissingExtraError, match=r"\[datasets\]"):
        TensorFlowDatasets("imdb_reviews")


# Raw documents


def test_raw_documents_are_split_into_sentences(tmp_path):
    text = "One is\nhere. Two\n\nOther text. It ends.\n"
    file = write(tmp_path / "a.txt", text)
    second = write(tmp_path / "b.txt", "The second\nfile.")
    by_line = [["One is\nhere.", "Two"], ["Other text.", "It ends."]]
    assert read(RawDocuments(file))[0] == by_line
    unwrapped = [["One is", "here.", "Two"], ["Other text.", "It ends."]]
    assert read(RawDocuments(file, wrapped=False))[0] == unwrapped
    both, odd = read(RawDocuments([file, second], per_file=True))
    assert both == [[*by_line[0], *by_line[1]], ["The second\nfile."]]
    assert odd == {"one_sentence_documents": 1}


def test_a_group_of_files_that_are_documents_has_two(tmp_path):
    files = [write(tmp_path / f"{i}.txt", f"A{i}. " * 90) for i in range(5)]
    source = RawDocuments(files, 64, per_file=True)
    assert [len(group.names) for group in source.groups()] == [2, 3]
    documents = [source.documents(block)[0] for block in all_blocks(source)]
    assert min(map(len, documents)) >= 2


def test_a_book_in_one_file(tmp_path):
    file = shared("data", "corpora", "gutenberg", "time_machine.txt")
    source = RawDocuments(file, 1 << 17, per_file=True)
    found, odd = read(source)
    assert odd["cut_documents"] == 0 and len(found) == 1
    assert words(found) == file.read_text("utf-8").removeprefix("\ufeff").split()


# JSON lines


def test_json_lines(tmp_path):
    lines = [
        json.dumps({"text": "One. Two.\nThree", "title": "A"}),
        "",
        "{broken",
        json.dumps({"text": ["Four.  ", " ", "Five. Six."]}),
        json.dumps({"title": "B"}),
        json.dumps(["text"]),
        json.dumps({"text": 7}),
        json.dumps({"text": " \n "}),
        json.dumps({"text": []}),
        json.dumps({"text": "A\0 \ud800."}),
        "[" * 100_000,
        '{"text": ' + "9" * 5000 + "}",
        '{"text": "a", "text": "b"}',
    ]
    file = write(tmp_path / "a.jsonl", "\r\n".join(lines))
    found, odd = read(JsonLines(file))
    assert found == [
        ["One.", "Two.", "Three"],
        ["Four.", "Five. Six."],
        ["A\0 \ufffd."],
    ]
    assert odd == {
        "invalid_json": 4,
        f"invalid_json at {file}:3": 1,
        "missing_field": 3,
        f"missing_field at {file}:5": 1,
        "empty_documents": 2,
        "one_sentence_documents": 1,
        "nul_bytes": 1,
        "invalid_utf8": 1,
    }
    assert read(JsonLines(file, field="title"))[0] == [["A"], ["B"]]


@pytest.mark.parametrize("block_bytes", [16, 50, 333])
def test_blocks_of_json_lines(tmp_path, block_bytes):
    lines = [json.dumps({"text": f"Text {i} it is. " * (i % 5)}) for i in range(99)]
    lines[40] = "?" * 60
    file = write(tmp_path / "a.jsonl", "\n".join(lines))
    source = JsonLines(file, block_bytes)
    blocks = all_blocks(source)
    documents = [source.documents(block)[0] for block in blocks]
    assert min(map(len, documents)) >= 2
    assert [*chain.from_iterable(documents)] == [
        [f"Text {i} it is."] * (i % 5) for i in range(99) if i % 5 and i != 40
    ]
    odd = read(source)[1]
    assert odd["invalid_json"] == 1 and odd[f"invalid_json at {file}:41"] == 1
    assert odd["empty_documents"] == 20 - (40 % 5 == 0)


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("size", range(120, 150, 4))
def test_a_json_line_too_long_is_left_out_and_counted(tmp_path, place, size):
    short = [f"Text {i} it is." for i in range(12)]
    lines = [json.dumps({"text": text}) for text in short]
    lines[place:place] = [json.dumps({"text": "Two. " * size})]
    source = JsonLines(write(tmp_path / "a.jsonl", "\n".join(lines)), 64)
    found, odd = read(source)
    assert found == [[text] for text in short]
    assert odd == {"long_json": 1, "one_sentence_documents": len(short)}
    assert all(len(source.documents(block)[0]) >= 2 for block in all_blocks(source))


# Iterables


def test_documents_of_an_iterable():
    items = ["One. Two.", ["Three.", " ", "Four. Five."], ("Six.",), " ", [], "A\nb"]
    found, odd = read(Documents(items))
    assert found == [
        ["One.", "Two."],
        ["Three.", "Four. Five."],
        ["Six."],
        ["A", "b"],
    ]
    assert odd == {"empty_documents": 2, "one_sentence_documents": 1}
    assert read(Documents(iter(items))) == (found, odd)
    assert read(Documents(["A\nbe. C"], wrapped=True))[0] == [["A\nbe.", "C"]]


def test_an_iterator_is_read_once():
    source = Documents(iter(["One. Two."]))
    assert read(source)[0] == [["One.", "Two."]]
    with pytest.raises(InputError, match="list"):
        read(source)
    again = Documents(["One."])
    assert read(again) == read(again)
    with pytest.raises(InputError, match="copy"):
        read(pickle.loads(pickle.dumps(again)))


@pytest.mark.parametrize("item", [None, 3, b"text", ["a", 3], {"text": "a"}])
def test_what_is_no_document(item):
    with pytest.raises(InputError, match="number 2"):
        read(Documents(iter(["fine", item])))
    with pytest.raises(InputError, match="number 2"):
        Documents(["fine", item])


def test_what_identifies_an_iterable():
    def name(*arguments, **options):
        return Documents(*arguments, **options).fingerprint()

    assert name(["A", ["b"]]) == name(["A", ["b"]]) != name(["A", ["c"]])
    assert name(["A"]) != name([["A"]])
    assert name(iter("A"), name="x") == name(iter("B"), name="x")
    assert name(iter("A")) != name(iter("A")), "nothing is known of an iterator"


@pytest.mark.parametrize("kind", [str, list])
def test_long_documents_of_an_iterable_are_cut(kind):
    text = " ".join(f"Sentence number {i}." for i in range(300))
    long = text if kind is str else split_sentences(text)
    source = Documents(["One. Two.", long, "Three. Four."], 128)
    found, odd = read(source)
    assert odd["cut_documents"] == 1
    assert len(found) > 20
    assert words(found) == ["One.", "Two.", *text.split(), "Three.", "Four."]
    blocks = all_blocks(source)
    assert all(len(source.documents(block)[0]) >= 2 for block in blocks)
    assert sum(b.size for b in blocks) >= len(text)


# TensorFlow Datasets


def test_a_tensorflow_data_set():
    tfds = pytest.importorskip("tensorflow_datasets")
    with tfds.testing.mock_data(num_examples=37):
        source = TensorFlowDatasets("imdb_reviews", block_bytes=200)
        (group,) = source.groups()
        examples = tfds.as_numpy(tfds.load("imdb_reviews", split="train"))
        texts = [example["text"].decode() for example in examples]
        found, odd = read(source)
        blocks = list(source.blocks(group))
    assert group.names == ("train",)
    assert len(blocks) > 2
    assert words(found) == words([texts])
    assert len(found) + odd["empty_documents"] == 37
    assert json.loads(json.dumps(source.fingerprint()))["name"].startswith("imdb")


def test_shards_of_a_tensorflow_data_set_are_groups(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")

    class Tiny(tfds.core.GeneratorBasedBuilder):
        """Seven examples in three files."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "text": tfds.features.Text(),
                "label": tfds.features.ClassLabel(num_classes=9),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i in range(7):
                yield i, {"text": f"Text {i}. It ends.\n\nHere", "label": i}

    config = tfds.download.DownloadConfig(num_shards=3)
    Tiny(data_dir=tmp_path).download_and_prepare(download_config=config)
    source = TensorFlowDatasets("tiny", data_dir=tmp_path)
    assert len(source.groups()) == 3
    assert sum(group.size for group in source.groups()) == source.size
    sizes = [block.size for block in all_blocks(source)]
    assert sum(sizes) == source.size
    found, _ = read(source)
    assert sorted(found) == [[f"Text {i}.", "It ends.", "Here"] for i in range(7)]
    part = TensorFlowDatasets("tiny", "train[2:5]", data_dir=tmp_path)
    assert read(part)[0] == found[2:5]
    with pytest.raises(InputError, match="text, label"):
        TensorFlowDatasets("tiny", field="body", data_dir=tmp_path)
    with pytest.raises(InputError, match="label"):
        read(TensorFlowDatasets("tiny", field="label", data_dir=tmp_path))


def test_an_unknown_data_set():
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(InputError, match="no_such_data_set"):
        TensorFlowDatasets("no_such_data_set")


def test_the_names_of_the_command_line():
    assert set(SOURCES) == {"text", "documents", "jsonl", "tfds"}
    assert all(issubclass(cls, Source) for cls in SOURCES.values())


# Sentences

SENTENCES = [
    "Mr. Smith met Dr. Jones at 3.14 p.m. on Jan. 5 in the U.S.|He left.",
    'He said "Stop!"|Then he went.|(It was late.)|She asked: "Why?" and ran.',
    "Wait...|What?|No!!|Really?!|OK… and so on.",
    "See e.g. Fig. 3 and i.e. this.|J. R. R. Tolkien wrote it.|It cost $3.50.",
    "The U.S. Army came.|It stayed till 5 p.m. on Monday.",
    "It ended.[1]|Then it began.[2][37]|“So?” — he said.|‘Yes.’|¿Qué?|¡Vaya!",
    "No. 5 is alive.|The answer is no.|Go away.|Version 2.0 is out.",
    "1. First of all.|2. Then the rest.",
    "He sold it to Smith Inc. in May.|She owns Brown Ltd.|The rest is gone.",
    "Visit www.example.com.|Now.|In 1990.|Later it fell.|Louis XIV.|The end.",
    "Am 5. Mai kam Hr. Meier, d.h. bald.|„Halt!“|Dann war Ruhe.",
    "Il est venu.|« Oui. »|Puis M. Durand partit.",
    "今天天气很好。|我们去公园吧！|“好的。”|他说。|你呢？！|“走。”",
    "私は学生です。|「はい。」|と言った。|値は3．14です。",
    "第一次世界大战结束。|1919年签订和约。|2000人到场。|价格是3。5元。",
    "他喊：“快跑！”，然后逃走。|他问：“走吗？”——没人回答。|（他走了！）。|好。",
    "真好!|下次再来?|好的!|“走吧。”|比分3!5说OK!好",
    "他走了……|我很难过。|我……我不知道。|他说“好……”，就走了。|真的?!|真的。",
    "他说：“我听见‘快跑！’了。”|我走了。|「『はい。』と言った。」|彼は笑った。",
    "यह एक वाक्य है।|यह दूसरा है॥|क्या?",
    "هل هذا؟|نعم.|هذا جيد۔|اچھا",
    "ሰላም።|እንዴት ነህ፧|ደህና",
    "all small letters here.|nobody uses capitals.|really?|yes, e.g. me.",
    "He met Prof. Dr. h.c. Braun.|“I am,” she said.|_Why?_|Because.",
]


@pytest.mark.parametrize("marked", SENTENCES)
def test_sentences(marked):
    east = any("\u3000" < character < "\uff70" for character in marked)
    expected = marked.split("|")
    assert split_sentences(("" if east else " ").join(expected)) == expected


def test_lines_and_paragraphs():
    text = "A heading\n\nIt goes\non. So\n \nit ends\r\n"
    wrapped = ["A heading", "It goes\non.", "So", "it ends"]
    assert split_sentences(text, wrapped=True) == wrapped
    lines = ["A heading", "It goes", "on.", "So", "it ends"]
    assert split_sentences(text) == lines
    assert split_sentences(" \n\n ") == split_sentences("") == []


TEXT = st.text(
    st.sampled_from("aB1 .!?…。।؟\n\t\u3000\"'”“)([]Mrs中é-—_\0") | st.characters()
)


@settings(deadline=None)
@given(TEXT, st.booleans())
@example("Mr. 5. A. [1] .[1]\n.", True)
def test_nothing_but_whitespace_is_lost(text, wrapped):
    sentences = split_sentences(text, wrapped)
    assert all(sentence == sentence.strip() != "" for sentence in sentences)
    rest = text
    for sentence in sentences:
        before, found, rest = rest.partition(sentence)
        assert found and not before.strip()
    assert not rest.strip()


def test_hostile_text_takes_no_longer_than_its_length():
    # Each of these takes hours where a step looks at all that follows or precedes.
    for unit in (". ", '." ', ".[1] ", "5. ", "(a. ", "\n ", "a.", "。["):
        text = unit * (400_000 // len(unit))
        joined = "".join(split_sentences(text, wrapped=True)).split()
        assert "".join(joined) == "".join(text.split())


@pytest.mark.parametrize(
    ("name", "count"), [("cmn_hans", 60 + 40), ("cmn_hant", 59 + 42), ("jpn", 65 + 40)]
)
def test_sentences_of_declarations(name, count):
    """Counted: the `。`, and the lines that end otherwise; each ends a sentence."""
    text = shared("data", "corpora", "udhr", f"{name}.txt").read_text("utf-8")
    assert len(split_sentences(text)) == count


def test_sentences_of_a_novel():
    text = shared("data", "corpora", "gutenberg", "sherlock_holmes.txt").read_text()
    sentences = split_sentences(text, wrapped=True)
    assert 6000 < len(sentences) < 7500
    assert not any(s.endswith((" Mr.", " Mrs.", " Dr.", " St.")) for s in sentences)
    small = [b for a, b in pairwise(sentences) if b[0].islower() and a[-1] in ".?!"]
    assert len(small) < 0.01 * len(sentences)
