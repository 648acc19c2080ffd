"""The host tokenizer: Google's rules, offsets, batches, files, training."""

import gzip
import json
import pickle
import re
import sys
import unicodedata
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert import BertTokenizer
from keras_bert.cli import main
from keras_bert.errors import (
    ConfigError,
    ExistingOutputError,
    InputError,
    MissingFileError,
    UnknownNameError,
)
from keras_bert.tokenization.coverage import coverage
from keras_bert.tokenization.rules import WordRules, is_punctuation, is_removed
from keras_bert.tokenization.truncation import longest_first
from tests.paths import shared
from tests.vocabulary import SPECIAL

LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
VOCAB = [
    *SPECIAL,
    *(
        "un ##aff ##able run ##ning want ##want low ##er ##lower the , . ! [ ] #"
    ).split(),
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    *"中 文 ᄒ ##ᅡ ##ᆫ σ ##ς ##σ ß".split(),
]
# Characters on which implementations of these rules are known to differ.
HOSTILE = (
    "aZ09 \t\n\r\0\x0b\x0c\x1c\x1f\x7f\x85\xa0\xad’'.,#[]Σσςİıßẞﬁ①éÉ한가中㐀\uf900"
)
HOSTILE += "\u0301\u0327\u0345\u200b\u200d\u2028\u2029\u3000\ufeff\ufffd\ue000"
HOSTILE += "\U0001f600\U0001d165\U0001d16d\u1b44\u302e\u0e31\U000e0001"
texts = st.text(st.one_of(st.sampled_from(HOSTILE), st.characters()), max_size=40)


@pytest.fixture(scope="module")
def uncased() -> BertTokenizer:
    return BertTokenizer(shared("data", "vocab", "bert-base-uncased-vocab.txt"))


def words_by_definition(text: str, lower: bool) -> list[str]:
    """The rules once more, in the order they are usually told, without offsets."""
    text = "".join(" " if c in "\t\n\r" else c for c in text if not is_removed(c))
    chinese = re.findall(
        "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df"
        "\U0002a700-\U0002ceaf\U0002f800-\U0002fa1f]",
        text,
    )
    words = "".join(f" {c} " if c in chinese else c for c in text).split()
    if lower:
        words = [unicodedata.normalize("NFD", word.lower()) for word in words]
        words = [
            "".join(c for c in w if unicodedata.category(c) != "Mn") for w in words
        ]
    joined = "".join(f" {c} " if is_punctuation(c) else c for c in " ".join(words))
    return joined.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UNaffable, running!", "un ##aff ##able , run ##ning !"),
        ("unwanted", "un ##want ##e ##d"),
        ("[MASK] [UNK]", "[ m ##a ##s ##k ] [ un ##k ]"),
        ("##er", "# # e ##r"),
        ("low\u00e9r lower\u0301", "low ##er low ##er"),
        ("中文the", "中 文 the"),
        ("한", "ᄒ ##ᅡ ##ᆫ"),
        ("ΣΣ Σ", "σ ##ς σ"),
        ("ΣΣ.", "σ ##ς ."),
        ("Σ\0Σ", "σ ##ς"),
        ("ß", "ß"),
        ("ẞ", "ß"),
        ("run\x0bning", "run ##ning"),
        ("run\u2028ning", "run n ##i ##n ##g"),
        ("the\u200bthe\ufffd", "the ##t ##h ##e"),
        ("a" * 200, " ".join(["a"] + ["##a"] * 199)),
        ("a" * 201, "[UNK]"),
        ("é" * 201, "[UNK]"),
        ("lowβ low", "[UNK] low"),
        (" \t\n ", ""),
        ("", ""),
    ],
)
def test_hostile_text_by_googles_rules(text, expected):
    tokenizer = BertTokenizer(VOCAB, google_rules=True)
    assert tokenizer.tokenize(text) == expected.split()


def test_cased_keeps_case_and_accents():
    tokenizer = BertTokenizer([*SPECIAL, "É", "E", "\u0301", "##\u0301"], False)
    assert tokenizer.tokenize("É E\u0301 e") == ["É", "E", "##\u0301", "[UNK]"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (WordRules(True, False), "é中 , e"),
        (WordRules(False, True), "E中 , e"),
        (WordRules(True, None), "e中 , e"),
    ],
)
def test_rules_can_be_switched_apart(rules, expected):
    rules = rules._replace(tokenize_chinese_chars=False)
    assert [word.text for word in rules.split("É中,e")] == expected.split()


@settings(max_examples=400, deadline=None)
@given(texts, st.booleans())
def test_words_follow_the_definition(text, lower):
    rules = WordRules(lower, google_rules=True)
    assert [word.text for word in rules.split(text)] == words_by_definition(text, lower)


@settings(max_examples=300, deadline=None)
@given(texts, st.booleans())
def test_offsets_point_at_what_tokens_stand_for(text, lower):
    tokenizer = BertTokenizer(VOCAB, lower, google_rules=True)
    batch = tokenizer(text, max_length=None, truncation=False, return_offsets_mapping=1)
    assert batch["input_ids"][0, 1:-1].tolist() == tokenizer.text_to_ids(text)
    tokens = tokenizer.tokenize(text)
    for token, (start, end) in zip(
        tokens, batch["offset_mapping"][0, 1:-1], strict=True
    ):
        assert 0 <= start < end <= len(text)
        if token != "[UNK]":
            normal = "".join(words_by_definition(text[start:end], lower))
            # Alone, a sigma is never final, and a jamo is only part of its syllable.
            piece = token.removeprefix("##") if len(token) > 2 else token
            assert piece.replace("ς", "σ") in normal.replace("ς", "σ")


def test_offsets_of_known_text(uncased):
    text = "A naïve café\u0301s  façade—über\t中文!"
    batch = uncased(text, return_offsets_mapping=True)
    pieces = [text[start:end] for start, end in batch["offset_mapping"][0, 1:-1]]
    assert pieces == [
        "A",
        "naïve",
        "café\u0301s",
        "façade",
        "—",
        "über",
        "中",
        "文",
        "!",
    ]
    assert batch["offset_mapping"].dtype == np.int32
    assert batch["offset_mapping"][0, [0, -1]].tolist() == [[0, 0], [0, 0]]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["the", "low", "lower", "unaffable", "!", "中"])))
def test_decode_gives_back_normalized_text(words):
    tokenizer = BertTokenizer(VOCAB)
    ids = tokenizer.encode(" ".join(words))
    assert tokenizer.decode(ids) == " ".join(words)
    assert tokenizer.decode(ids, skip_special_tokens=False).startswith("[CLS]")


def test_reference_questions(uncased):
    path = shared("data", "tokenizer", "golden", "squad_questions_uncased_part1.jsonl")
    for line in path.read_text("utf-8").splitlines():
        case = json.loads(line)
        assert uncased.tokenize(case["text"]) == case["wordpiece"]
        assert uncased.text_to_ids(case["text"]) == case["ids"]


def test_reference_torture_inputs(uncased):
    folder = shared("data", "tokenizer", "golden")
    inputs = (folder / "llamacpp_bert_bge.inp").read_bytes().decode()
    outputs = (folder / "llamacpp_bert_bge.out").read_text("utf-8").split("\n")
    cases = list(zip(inputs.split("\n__ggml_vocab_test__\n"), outputs, strict=True))
    assert len(cases) == 47
    for text, ids in cases:
        assert uncased.text_to_ids(text) == [int(number) for number in ids.split()]


@settings(max_examples=200, deadline=None)
@given(st.lists(texts, max_size=6), st.booleans())
def test_many_texts_at_once(strings, lower):
    strings = [text.encode("utf-8", "ignore").decode() for text in strings]
    tokenizer = BertTokenizer(VOCAB, lower)
    ids, splits = tokenizer.texts_to_ids(iter(strings))
    assert (ids.dtype, splits.dtype) == (np.int32, np.int64)
    rows = [ids[a:b].tolist() for a, b in pairwise(splits)]
    assert rows == [tokenizer.text_to_ids(text) for text in strings]
    assert splits[-1] == len(ids)


# Batches


def test_pair_batch(tokenizer):
    batch = tokenizer(["the", "low the"], ["low!", "the"])
    ids = {token: index for index, token in enumerate(VOCAB)}
    rows = ["[CLS] the [SEP] low ! [SEP]", "[CLS] low the [SEP] the [SEP]"]
    assert batch["input_ids"].tolist() == [[ids[t] for t in r.split()] for r in rows]
    types = [[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1]]
    assert batch["token_type_ids"].tolist() == types
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int32)}


def test_padding(tokenizer):
    texts = ["the", "the low the"]
    batch = tokenizer(texts)
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert (batch["input_ids"][0, 3:] == tokenizer.pad_token_id).all()
    assert tokenizer(texts, max_length=7, padding="max_length")["input_ids"].shape == (
        2,
        7,
    )
    with pytest.raises(InputError, match="differ in length"):
        tokenizer(texts, padding=False)
    assert tokenizer([])["input_ids"].shape == (0, 0)


@pytest.mark.parametrize(
    ("truncation", "kept"),
    [(True, (3, 3)), ("only_first", (1, 5)), ("only_second", (5, 1))],
)
def test_truncation(tokenizer, truncation, kept):
    text = "the " * 5
    batch = tokenizer([text], [text], max_length=9, truncation=truncation)
    types = batch["token_type_ids"][0].tolist()
    assert types == [0] * (kept[0] + 2) + [1] * (kept[1] + 1)
    assert batch["input_ids"][0, [0, kept[0] + 1, -1]].tolist() == [2, 3, 3]


@given(st.integers(0, 30), st.integers(0, 30), st.integers(2, 40))
def test_longest_first_takes_tokens_singly(first, second, room):
    a, b = first, second
    while a + b > room:
        a, b = (a - 1, b) if a > b else (a, b - 1)
    if first + second > room:
        assert longest_first(first, second, room) == (a, b)


def test_stride_windows_cover_the_text(tokenizer):
    text = " ".join(LETTERS)
    batch = tokenizer([text, "a"], max_length=9, stride=3, return_offsets_mapping=True)
    assert batch["overflow_to_sample_mapping"].tolist() == [0] * 6 + [1]
    rows = [
        "".join(tokenizer.convert_ids_to_tokens(row[mask == 1][1:-1]))
        for row, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]
    assert rows == [
        "abcdefg",
        "efghijk",
        "ijklmno",
        "mnopqrs",
        "qrstuvw",
        "uvwxyz",
        "a",
    ]
    assert text[slice(*batch["offset_mapping"][2, 1])] == "i"


def test_stride_windows_of_a_pair_keep_the_question(tokenizer):
    batch = tokenizer(["the low"], [" ".join(LETTERS[:7])], max_length=9, stride=2)
    tokens = [tokenizer.convert_ids_to_tokens(row)[1:] for row in batch["input_ids"]]
    assert [row[:3] for row in tokens] == [["the", "low", "[SEP]"]] * 3
    assert tokens[1][3:7] == ["c", "d", "e", "f"]


def test_words_keep_their_index(tokenizer):
    words = [["lower", "!", "unaffable"], ["\u200b", "the"]]
    batch = tokenizer(words, is_split_into_words=True, return_offsets_mapping=True)
    assert batch["word_ids"].tolist() == [
        [-1, 0, 0, 1, 2, 2, 2, -1],
        [-1, 1, -1, -1, -1, -1, -1, -1],
    ]
    assert batch["offset_mapping"][0, 4:7].tolist() == [[0, 2], [2, 5], [5, 9]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": ["ok", None]}, "NoneType None, at index 1; replace missing"),
        ({"texts": ["ok", float("nan")]}, "float nan, at index 1"),
        ({"texts": ["ok", b"the"]}, "bytes b'the', at index 1"),
        ({"texts": b"the"}, "string or a list of them. Received: bytes"),
        ({"texts": None}, "string or a list of them. Received: NoneType"),
        ({"texts": ["ok", "a\ud800"]}, r"'.ud800', half .* character 1 of index 1"),
        ({"texts": ["ok"], "text_pairs": [3]}, "int 3, at index 0"),
        ({"texts": [["the"]]}, "is_split_into_words"),
        (
            {"texts": [["a"], ["b", None]], "is_split_into_words": True},
            "NoneType None, at text 1, word 1",
        ),
        ({"texts": [["a"], "b"], "is_split_into_words": True}, "str 'b', at index 1"),
        ({"texts": "the", "is_split_into_words": True}, "lists of words"),
        ({"texts": ["a", "b"], "text_pairs": ["a"]}, "2 texts and 1 pairs"),
        ({"texts": "a", "max_length": 2}, "at least 3"),
        ({"texts": "a", "stride": 2, "truncation": False}, "Expected truncation"),
        ({"texts": "a b c d e", "max_length": 5, "stride": 3}, "stride=3"),
        (
            {"texts": "a", "text_pairs": "b c d e f", "max_length": 5}
            | {"truncation": "only_first"},
            "only_first",
        ),
    ],
)
def test_arguments_that_do_not_fit(tokenizer, arguments, message):
    with pytest.raises(InputError, match=message):
        tokenizer(**arguments)


@pytest.mark.parametrize("item", [None, float("nan"), 3, b"the", ["the"], "a\ud800"])
def test_what_is_no_text(tokenizer, item):
    with pytest.raises(InputError, match="at index 1"):
        tokenizer.texts_to_ids(iter(["the", item]))
    with pytest.raises(InputError, match="Expected"):
        tokenizer.tokenize(item)
    with pytest.raises(InputError, match=r"list of them\. Received: dict"):
        tokenizer({"text": "the"})


@pytest.mark.parametrize(
    "vocabulary", [{"[UNK]": 1, "[PAD]": 0}, {"a"}, b"a", None, [1]]
)
def test_a_vocabulary_has_an_order(vocabulary):
    with pytest.raises(InputError, match="order of their ids"):
        BertTokenizer(vocabulary)


def test_unknown_names(tokenizer):
    with pytest.raises(UnknownNameError, match="longest_first"):
        tokenizer("a", truncation="longest_frist")
    with pytest.raises(UnknownNameError, match="belongs to the model"):
        tokenizer.decode([len(VOCAB)])
    assert tokenizer.convert_tokens_to_ids(["the", "nothing"]) == [
        VOCAB.index("the"),
        1,
    ]


# Files


def test_save_and_load(tmp_path, tokenizer):
    saved = BertTokenizer(VOCAB, False, strip_accents=True, model_max_length=37)
    names = {path.name for path in saved.save_pretrained(tmp_path / "new")}
    assert names == {"vocab.txt", "tokenizer_config.json", "tokenizer.json"}
    assert {path.name for path in (tmp_path / "new").iterdir()} == names
    loaded = BertTokenizer.from_pretrained(tmp_path / "new")
    assert (loaded.tokens, loaded.rules) == (VOCAB, WordRules(False, True, True))
    assert loaded.model_max_length == 37
    with pytest.raises(ExistingOutputError, match="overwrite"):
        tokenizer.save_pretrained(tmp_path / "new")
    tokenizer.save_pretrained(tmp_path / "new", overwrite=True)
    assert BertTokenizer.from_pretrained(tmp_path / "new").rules == WordRules()


def test_fast_tokenizer_file_agrees(tmp_path, tokenizer):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer.save_pretrained(tmp_path)
    fast = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in ("Unaffable, running!", "中文 lower", "a" * 150):
        assert fast.encode(text).ids == tokenizer.encode(text)
    assert fast.encode("a", "low b").type_ids == [0, 0, 0, 1, 1, 1]
    (tmp_path / "vocab.txt").unlink()
    assert BertTokenizer.from_pretrained(tmp_path).tokens == VOCAB


def test_reads_hugging_face_settings(tmp_path):
    vocab = [token.replace("[UNK]", "<unk>") for token in VOCAB]
    (tmp_path / "vocab.txt").write_text("\n".join(vocab), "utf-8")
    config = {
        "do_lower_case": False,
        "unk_token": {"content": "<unk>", "lstrip": False},
    }
    config |= {"strip_accents": None, "never_split": None, "model_max_length": 13}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    loaded = BertTokenizer.from_pretrained(tmp_path)
    assert loaded.tokenize("THE the") == ["<unk>", "the"]
    assert loaded("the " * 40, max_length=None)["input_ids"].shape == (1, 13)


def test_errors_of_files(tmp_path):
    with pytest.raises(MissingFileError, match="found nothing"):
        BertTokenizer.from_pretrained(tmp_path / "absent")
    with pytest.raises(MissingFileError, match=r"vocab\.txt"):
        BertTokenizer.from_pretrained(tmp_path)
    vocab = tmp_path / "vocab.txt"
    vocab.write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        BertTokenizer(vocab)
    vocab.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="UTF-8"):
        BertTokenizer(vocab)
    vocab.write_text("hello\nworld\n")
    with pytest.raises(InputError, match=r"\[PAD\], \[UNK\]"):
        BertTokenizer(vocab)
    vocab.write_text("\n".join(VOCAB), "utf-8")
    (tmp_path / "tokenizer_config.json").write_text("[]")
    with pytest.raises(InputError, match="JSON object"):
        BertTokenizer.from_pretrained(tmp_path)


def test_line_breaks_of_unicode_are_tokens(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL, "\u2028", "a"]), "utf-8")
    assert BertTokenizer(path).convert_tokens_to_ids("a") == 6


def test_other_processes_get_an_equal_tokenizer():
    tokenizer = BertTokenizer(VOCAB, False, model_max_length=37)
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert (copy.vocab, copy.rules) == (tokenizer.vocab, tokenizer.rules)
    assert copy.model_max_length == 37


# Training


CORPUS = ["Low lower lowest!", "The lower, the newer; the newest.", "中文 中文"] * 7


def test_training_is_deterministic_and_covers_its_text():
    trained = BertTokenizer.train(iter(CORPUS), vocab_size=60)
    again = BertTokenizer.train(iter(reversed(CORPUS)), vocab_size=60)
    assert trained.tokens == again.tokens
    assert trained.tokens[:5] == SPECIAL
    assert len(set(trained.tokens)) == trained.vocab_size <= 60
    assert "lower" in trained.vocab
    assert all("[UNK]" not in trained.tokenize(line) for line in CORPUS)


def test_training_at_the_places_of_googles_releases():
    trained = BertTokenizer.train(iter(CORPUS), vocab_size=200, unused=99)
    assert [trained.tokens.index(t) for t in SPECIAL] == [0, 100, 101, 102, 103]
    assert trained.tokens[99] == "[unused98]"


def test_training_reads_files(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(CORPUS), "utf-8")
    with gzip.open(tmp_path / "b.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(CORPUS))
    expected = BertTokenizer.train(iter(CORPUS + CORPUS), vocab_size=60).tokens
    for source in (str(tmp_path / "*"), [tmp_path / "a.txt", tmp_path / "b.txt.gz"]):
        assert BertTokenizer.train(source, vocab_size=60).tokens == expected
    with pytest.raises(MissingFileError, match="absent"):
        BertTokenizer.train("absent.txt")


def test_training_limits():
    with pytest.raises(InputError, match="no words"):
        BertTokenizer.train(iter([]))
    with pytest.raises(ConfigError, match="leaves no room"):
        BertTokenizer.train(iter(CORPUS), vocab_size=9)
    exact = len(BertTokenizer.train(iter(CORPUS), vocab_size=999, min_frequency=99))
    with pytest.raises(ConfigError, match=f"already need {exact}"):
        BertTokenizer.train(iter(CORPUS), vocab_size=exact - 1)
    small = BertTokenizer.train(iter(CORPUS), vocab_size=40, limit_alphabet=3)
    assert len({token.removeprefix("##")[0] for token in small.tokens[5:]}) == 3


def test_coverage_of_text():
    tokenizer = BertTokenizer(VOCAB)
    counts = Counter({"the": 5, "lower": 3, "unaffable": 2, "β": 4, "aβ": 4, "x": 1})
    found = coverage(counts, tokenizer)
    # "lower" is low ##er, "unaffable" un ##aff ##able.
    assert found == (19, 6, 8, 5 + 6 + 6 + 8 + 1, ("aβ", "β"))
    assert "31.58% one token, 42.1053% unknown, 1.368 tokens" in str(found)
    assert coverage({}, tokenizer)[:4] == (0, 0, 0, 0)


# The command


def vocab_command(*arguments: object) -> int:
    return main(["vocab", *map(str, arguments)])


def test_command_reports_on_held_out_text(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("\n".join(CORPUS), "utf-8")
    with gzip.open(tmp_path / "b.txt.gz", "wt", encoding="utf-8") as file:
        file.write("The lower Ω Ω newest low\n")
    settings = ["--vocab-size", 160, "--unused", 99, "--held-out", tmp_path / "b*"]
    vocab = tmp_path / "vocab.txt"
    assert vocab_command(tmp_path / "a.txt", "--output", vocab, *settings) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    count = len(vocab.read_text("utf-8").splitlines())
    assert first.startswith(f"Wrote {count} tokens to {vocab}: 5 special tokens, 99 ")
    assert lines[0] == "[PAD] is 0, [UNK] is 100, [CLS] is 101, [SEP] is 102, " + (
        "[MASK] is 103."
    )
    assert lines[1].startswith("Training text: 119 words: ")
    assert "0.0000% unknown" in lines[1]
    assert lines[2].startswith("Held-out text: 6 words: ")
    assert "33.3333% unknown" in lines[2]
    assert lines[3].endswith(": ω")
    again = tmp_path / "again.txt"
    assert vocab_command(tmp_path / "a.txt", "--output", again, *settings) == 0
    assert again.read_bytes() == vocab.read_bytes()
    assert vocab_command(tmp_path / "a.txt", "--output", vocab, *settings) == 2


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ([], {"neue", "中"}),
        (["--no-do-lower-case"], {"Neüe", "中"}),
        (["--no-strip-accents"], {"neüe", "中"}),
        (["--no-tokenize-chinese-chars"], {"neue", "中文"}),
    ],
)
def test_command_keeps_the_rules(tmp_path, switches, words):
    text = "Neüe 中文 " * 9
    (tmp_path / "a.txt").write_text(text, "utf-8")
    arguments = [tmp_path / "a.txt", "--output", tmp_path / "new", "--vocab-size", 60]
    assert vocab_command(*arguments, *switches) == 0
    loaded = BertTokenizer.from_pretrained(tmp_path / "new")
    assert words < set(loaded.tokens)
    assert "[UNK]" not in loaded.tokenize(text)


def test_command_learns_from_a_data_set(tmp_path, capsys):
    tfds = pytest.importorskip("tensorflow_datasets")
    vocab = tmp_path / "vocab.txt"
    with tfds.testing.mock_data(num_examples=13):
        arguments = ["--tfds", "imdb_reviews", "--output", vocab, "--vocab-size", 90]
        assert vocab_command(*arguments, "--split", "test") == 0
        examples = tfds.as_numpy(tfds.load("imdb_reviews", split="test"))
        texts = [example["text"].decode() for example in examples]
        assert vocab_command(*arguments, "--overwrite", "--field", "body") == 2
    assert "field" in capsys.readouterr().err
    expected = BertTokenizer.train(iter(texts), vocab_size=90).tokens
    assert vocab.read_text("utf-8").splitlines() == expected


def test_command_without_text(tmp_path, capsys, monkeypatch):
    assert vocab_command("--output", tmp_path / "new") == 2
    assert "--tfds" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert vocab_command("--output", tmp_path / "new", "--tfds", "imdb_reviews") == 2
    assert "bert-for-keras[datasets]" in capsys.readouterr().err
    missing = ["--held-out", tmp_path / "absent"]
    (tmp_path / "a.txt").write_text("text", "utf-8")
    assert (
        vocab_command(tmp_path / "a.txt", "--output", tmp_path / "new", *missing) == 2
    )
    assert not (tmp_path / "new").exists()


def test_a_vocabulary_without_mask_is_refused_where_it_is_needed(tmp_path):
    from keras_bert.pretraining import DataSettings, create_pretraining_data
    from keras_bert.tokenization.layer import BertTokenizerLayer

    tokens = [*(t for t in SPECIAL if t != "[MASK]"), "ab", "##c"]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n")
    tokenizer = BertTokenizer.from_pretrained(tmp_path)
    expected = tokenizer("abc [MASK]")["input_ids"]
    assert (
        tokenizer.convert_ids_to_tokens(expected[0])
        == "[CLS] ab ##c [UNK] [UNK] [UNK] [SEP]".split()
    )
    tokenizer.save_pretrained(tmp_path / "saved")
    again = BertTokenizer.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(again("abc [MASK]")["input_ids"], expected)
    found = BertTokenizerLayer(again.tokens)(["abc [MASK]"])["input_ids"]
    np.testing.assert_array_equal(np.array(found)[:, : expected.shape[1]], expected)
    for use in (
        lambda: again.mask_token_id,
        lambda: create_pretraining_data(
            tmp_path / "vocab.txt", tmp_path / "out", again, DataSettings()
        ),
    ):
        with pytest.raises(InputError, match=r"Expected \[MASK\] in the vocabulary"):
            use()
    assert not (tmp_path / "out").exists()
    assert again.add_special_tokens({"mask_token": "[MASK]"}) == 1
    assert again.mask_token_id == len(tokens)


def test_an_array_of_one_text_is_a_text(tokenizer):
    one = tokenizer("low")["input_ids"]
    np.testing.assert_array_equal(tokenizer(np.array("low"))["input_ids"], one)


@pytest.mark.parametrize("name", ["max_length", "stride"])
def test_lengths_are_whole_numbers(tokenizer, name):
    for value in (3.5, "9", [9]):
        with pytest.raises(InputError, match=f"{name} as a whole number"):
            tokenizer("low", **{name: value})
    tokenizer("low", max_length=np.int64(9))


def test_ids_that_are_no_integers_are_refused():
    tokenizer = BertTokenizer([*SPECIAL, "a", "b"])
    assert tokenizer.decode(np.array([5.0, 6.0])) == "a b"
    for ids in ([5.5], np.array([5, 6.25])):
        with pytest.raises(InputError, match="integers"):
            tokenizer.decode(ids)
