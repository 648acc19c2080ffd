"""The tokenizers of RoBERTa and XLM-RoBERTa against `transformers` 4.57."""

import copy
import json
import pickle

import pytest

from keras_bert import transformers as room
from keras_bert.errors import InputError, MissingFileError
from tests.compat.family_calls import (
    byte_pairs,
    family_calls,
    named,
    sentencepiece_model,
    tokenizers,
    unigram,
    write_files,
)
from tests.compat.make_golden import FAMILY_PATH
from tests.compat.tokenizer_calls import LONG, SHORT, answer
from tests.paths import SHARED

GOLDEN = json.loads(FAMILY_PATH.read_text("utf-8"))
FAMILIES = SHARED / "data" / "tokenizer" / "families" / "roberta_kantai.jsonl"
KANT = SHARED / "data" / "vocab" / "kantaibert"
BYTES = room.RobertaTokenizerFast, room.RobertaTokenizer
PIECES = room.XLMRobertaTokenizerFast, room.XLMRobertaTokenizer
# transformers returns rows that are longer than the max_length they must have: it has
# no room for four special tokens, or for those of the other text.
TOO_LONG = {
    f"{name}: {call}"
    for name in ("bytes", "unigram")
    for call in (
        *("pair 16", "pairs 16", "tuples 16", "lists 16"),
        "other 63 prepare_for_model",
    )
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tokenizers(room, tmp_path_factory.mktemp("families"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted({name for name, _ in family_calls()}))
def test_calls_return_what_transformers_does(made, name):
    calls = [call for call in family_calls() if call[0] == name]
    assert len(calls) >= 22
    for call in calls:
        found = answer(made[name], copy.deepcopy(call[1]))
        key = named(call)
        expected = "an error" if key in TOO_LONG else GOLDEN[key]
        assert json.loads(json.dumps(found)) == expected, key


def test_most_calls_return_something():
    errors = [name for name, found in GOLDEN.items() if found == "an error"]
    assert len(GOLDEN) > 900
    assert len(errors) < 165


@pytest.mark.skipif(not FAMILIES.exists(), reason="no golden texts here")
@pytest.mark.parametrize("cls", BYTES)
def test_golden_texts_have_their_ids_and_places(cls):
    # The ids were stored with a mask that leaves the space before it alone.
    mask = room.AddedToken("<mask>", lstrip=False, normalized=False)
    files = KANT / "vocab.json", KANT / "merges.txt"
    tokenizer = cls(*files, mask_token=mask)
    rows = [json.loads(line) for line in FAMILIES.read_text("utf-8").splitlines()]
    assert len(rows) > 1000
    found = tokenizer([r["text"] for r in rows], return_offsets_mapping=True)
    wrong = [
        row["text"]
        for row, ids, places in zip(
            rows, found["input_ids"], found["offset_mapping"], strict=True
        )
        if (ids, [list(place) for place in places]) != (row["ids"], row["offsets"])
    ]
    assert wrong == []


def test_words_get_a_space_or_are_refused():
    fast, plain = (cls(*byte_pairs()) for cls in BYTES)
    words = {"is_split_into_words": True}
    spaced = plain(["the", "cat"], **words)
    assert spaced.tokens() == ["<s>", "Ġthe", "Ġcat", "</s>"]
    assert spaced.word_ids() == [None, 0, 1, None]
    assert plain.tokenize("the cat") == ["the", "Ġcat"]  # as before
    assert plain.tokenize("the", add_prefix_space=True) == ["Ġthe"]
    assert plain.backend_tokenizer.encode("the").tokens == ["<s>", "the", "</s>"]
    with pytest.raises(InputError, match="add_prefix_space=True"):
        fast(["the", "cat"], **words)
    fast = BYTES[0](*byte_pairs(), add_prefix_space=True)
    assert fast(["the", "cat"], **words) == spaced
    assert fast.tokenize("the", add_prefix_space=False) == ["the"]


def test_tokens_have_names_and_are_added(made):
    sizes = {"bytes": len(byte_pairs()[0]), "unigram": unigram().get_vocab_size()}
    for name, size in sizes.items():
        tokenizer = copy.deepcopy(made[name])
        assert tokenizer.special_tokens_map == {
            **dict.fromkeys(("bos_token", "cls_token"), "<s>"),
            **dict.fromkeys(("eos_token", "sep_token"), "</s>"),
            "unk_token": "<unk>",
            "pad_token": "<pad>",
            "mask_token": "<mask>",
        }
        ids = [0, 2, 3, 1, size - 1]
        assert tokenizer.all_special_ids == ids
        assert tokenizer.pad_token_id == 1
        assert (tokenizer.vocab_size, len(tokenizer)) == (size, size)
        assert tokenizer.add_tokens(["newa", "newb"]) == 2
        assert tokenizer.add_tokens("newa") == 0
        extra = {"additional_special_tokens": ["<e1>"], "mask_token": "[M]"}
        assert tokenizer.add_special_tokens(extra) == 2
        assert tokenizer.mask_token_id == size + 2
        assert (tokenizer.vocab_size, len(tokenizer)) == (size, size + 4)
        ids = tokenizer.encode("newa<e1>newb [M]", add_special_tokens=False)
        assert [i for i in ids if i >= size] == [size, size + 3, size + 1, size + 2]
        assert tokenizer.convert_tokens_to_ids(["newb", "never"]) == [size + 1, 3]
        assert tokenizer.decode(ids, skip_special_tokens=True).strip() == "newanewb"
        assert len(made[name]) == size


def test_missing_special_tokens_follow_the_vocabulary():
    vocab, merges = byte_pairs()
    vocab = {token: i for i, token in enumerate(t for t in vocab if "<" not in t)}
    tokenizer = BYTES[0](vocab, merges, mask_token="[mask]")
    size = len(vocab)
    assert tokenizer("the [mask]")["input_ids"] == [
        *(size, vocab["the"]),
        *(size + 4, size + 1),
    ]


def test_what_scripts_check_is_so(made):
    for tokenizer in (
        *made.values(),
        room.BertTokenizerFast(["[PAD]", *KNOWN]),
    ):
        assert isinstance(tokenizer, room.PreTrainedTokenizerFast)
        assert isinstance(tokenizer, room.PreTrainedTokenizerBase)
        assert tokenizer.is_fast
    assert not isinstance(made["bytes"], room.BertTokenizer)


KNOWN = ["[UNK]", "[CLS]", "[SEP]"]


# === Files ===


@pytest.mark.parametrize("name", ["spaced", "unigram", "sentencepiece"])
def test_a_folder_is_written_and_read_again(made, tmp_path, name):
    tokenizer = made[name].__reduce__()[0]()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<e1>"]})
    tokenizer(LONG, truncation=True, max_length=5, padding="max_length")
    files = tokenizer.save_pretrained(tmp_path)
    names = [file.split("/")[-1] for file in files]
    vocabulary = ["vocab.json", "merges.txt"] if name == "spaced" else []
    assert names == ["tokenizer_config.json", *vocabulary, "tokenizer.json"]
    assert tokenizer.save_pretrained(str(tmp_path)) == files  # replaces them
    texts = [LONG, "the<e1> <mask> cat"]
    for again in (
        type(tokenizer).from_pretrained(tmp_path),
        room.AutoTokenizer.from_pretrained(tmp_path),
        pickle.loads(pickle.dumps(tokenizer)),
        copy.deepcopy(tokenizer),
    ):
        assert type(again) is type(tokenizer)
        assert again(texts, padding=True) == tokenizer(texts, padding=True)
        assert (again.special_tokens_map, again.model_max_length, len(again)) == (
            tokenizer.special_tokens_map,
            32,
            len(tokenizer),
        )
    if vocabulary:
        (tmp_path / "tokenizer.json").unlink()
        again = type(tokenizer).from_pretrained(tmp_path)
        assert again(texts) == tokenizer(texts)


def test_transformers_reads_what_is_written_and_the_reverse(made, tmp_path):
    transformers = pytest.importorskip("transformers")
    texts = [SHORT, LONG, "the <mask><e1>"]
    for name in ("bytes", "unigram"):
        tokenizer = copy.deepcopy(made[name])
        tokenizer.add_special_tokens({"additional_special_tokens": ["<e1>"]})
        tokenizer.save_pretrained(tmp_path / name)
        other = transformers.AutoTokenizer.from_pretrained(tmp_path / name)
        other.save_pretrained(tmp_path / f"{name}-5")
        again = room.AutoTokenizer.from_pretrained(tmp_path / f"{name}-5")
        for text in texts:
            found = [t(text, text)["input_ids"] for t in (tokenizer, other, again)]
            assert found[0] == found[1] == found[2], text


@pytest.mark.parametrize("end", ["", "Fast"])
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"config.json": {"model_type": "roberta"}}, "RobertaTokenizer"),
        (
            {"tokenizer_config.json": {"tokenizer_class": "RobertaTokenizerFast"}},
            "RobertaTokenizer",
        ),
        (
            {"config.json": {"tokenizer_class": "RobertaTokenizer"}},
            "RobertaTokenizer",
        ),
    ],
)
def test_the_class_is_that_of_the_checkpoint(tmp_path, files, expected, end):
    write_files(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    for name, values in files.items():
        (tmp_path / name).write_text(json.dumps(values), "utf-8")
    found = room.AutoTokenizer.from_pretrained(tmp_path, use_fast=bool(end))
    assert type(found).__name__ == f"{expected}{end}"
    assert found.tokenize(" the") == ["Ġthe"]


def test_a_generic_class_is_of_any_algorithm(tmp_path):
    unigram().save(str(tmp_path / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    found = room.AutoTokenizer.from_pretrained(tmp_path)
    assert type(found) is room.PreTrainedTokenizerFast
    made = room.PreTrainedTokenizerFast(tokenizer_object=unigram(), pad_token="<pad>")
    for tokenizer in (found, made):
        batch = tokenizer(["the", "the cat"], padding=True)
        assert batch["input_ids"][0][-1] == tokenizer.pad_token_id == 1
        assert tokenizer.cls_token is None
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "xlm-roberta"}))
    assert type(room.AutoTokenizer.from_pretrained(tmp_path)) is PIECES[0]


@pytest.mark.parametrize("name", ["bytes", "unigram"])
def test_a_vocabulary_is_learned_as_transformers_does(made, tmp_path, name):
    transformers = pytest.importorskip("transformers")
    texts = [SHORT, LONG, "the mat, the dog", "cats and dogs"] * 3
    made[name].save_pretrained(tmp_path)
    other = transformers.AutoTokenizer.from_pretrained(tmp_path)
    options = {"new_special_tokens": ["<e1>"]}
    theirs = other.train_new_from_iterator([texts], 290, **options)
    found = made[name].train_new_from_iterator(iter(texts), 290, 42, **options)
    assert type(found) is type(made[name])
    # The trainer of unigrams orders equal scores as it likes.
    in_order = dict if name == "bytes" else set
    assert in_order(found.get_vocab()) == in_order(theirs.get_vocab())
    row = found("the", "cat<e1>")
    assert found.decode(row["input_ids"]).replace(" ", "") == (
        "<s>the</s></s>cat<e1></s>"
    )
    assert found.model_max_length == 32
    assert found.all_special_tokens == [
        "<s>",
        "</s>",
        "<unk>",
        "<pad>",
        "<mask>",
        "<e1>",
    ]


def wrong(folder, name, contents):
    write_files(folder)
    if name != "tokenizer.json":
        (folder / "tokenizer.json").unlink()
    (folder / name).write_bytes(contents)
    return folder


@pytest.mark.parametrize(
    ("cls", "name", "contents", "message"),
    [
        (BYTES[0], "vocab.json", b"[1]", "JSON object.*vocab.json"),
        (BYTES[0], "merges.txt", b"#version: 0.2\na b c\n", "line 2 of .*'a b c'"),
        (BYTES[0], "merges.txt", b"\xff", "UTF-8 in .*merges.txt"),
        (BYTES[0], "merges.txt", b"no such\n", "of which each makes a token"),
        (BYTES[0], "tokenizer.json", b"{}", "tokenizer.*tokenizer.json"),
        (BYTES[0], "tokenizer_config.json", b'{"model_max_length": []}', "files of a"),
        (BYTES[0], "tokenizer.json", unigram().to_str().encode(), "BPE.*Unigram"),
        (PIECES[0], "sentencepiece.bpe.model", b"\xff", "SentencePiece in"),
        (PIECES[0], "sentencepiece.bpe.model", b"", "0 pieces"),
        (
            PIECES[0],
            "sentencepiece.bpe.model",
            sentencepiece_model(model_type=2),
            "model_type=2",
        ),
        (
            PIECES[0],
            "sentencepiece.bpe.model",
            sentencepiece_model(byte_fallback=True),
            "byte_fallback=True",
        ),
    ],
)
def test_wrong_files_are_named(tmp_path, cls, name, contents, message):
    with pytest.raises(InputError, match=message):
        cls.from_pretrained(wrong(tmp_path, name, contents))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda _: BYTES[0](), InputError, "vocab_file and merges_file"),
        (lambda _: PIECES[0](), InputError, "sentencepiece.bpe.model"),
        (lambda _: room.PreTrainedTokenizerFast(), InputError, "tokenizer_object"),
        (
            lambda path: BYTES[0].from_pretrained(path),
            MissingFileError,
            "vocab.json and merges.txt",
        ),
        (
            lambda path: BYTES[0](path / "vocab.json", path / "merges.txt"),
            MissingFileError,
            "vocab.json",
        ),
        (
            lambda path: PIECES[0](tokenizer_object=unigram()).save_vocabulary(path),
            InputError,
            "tokenizer.json",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path, call, error, message):
    with pytest.raises(error, match=message):
        call(tmp_path)


def test_only_the_room_has_these_tokenizers(made, tmp_path):
    from keras_bert import BertTokenizerLayer

    for call in (
        lambda t: t.encode_batch(["the"]),
        lambda t: t.texts_to_ids(["the"]),
        lambda t: BertTokenizerLayer.from_tokenizer(t, 8),
    ):
        with pytest.raises(InputError, match=r"WordPiece tokenizer.*RobertaTokenizer"):
            call(made["bytes"])
