"""Words of Chinese text: by jieba, with a dictionary, and by spaces."""

from dataclasses import replace
from pathlib import Path

import pytest

from keras_bert import BertTokenizer
from keras_bert.cli import main
from keras_bert.errors import (
    ConfigError,
    InputError,
    MissingFileError,
    UnknownNameError,
)
from keras_bert.pretraining import DataSettings, create_pretraining_data
from keras_bert.pretraining.inspection import inspect_records
from keras_bert.pretraining.inspection_report import format_inspection
from keras_bert.pretraining.masking import Vocabulary
from keras_bert.pretraining.pipeline import RecordPipeline
from keras_bert.pretraining.sources import TextFiles
from keras_bert.pretraining.words import word_finder
from tests.vocabulary import SPECIAL

SETTINGS = DataSettings(
    max_seq_length=21, max_predictions_per_seq=5, dupe_factor=1, masking="word"
)
LINES = ["阿布扎加尔去了三里屯", "他在三里屯买了阿布扎加尔", "阿布扎加尔是三里屯人"]


@pytest.fixture
def jieba() -> None:
    pytest.importorskip("jieba", reason="the extra chinese is not installed")


@pytest.fixture
def corpus(tmp_path) -> Path:
    text = "\n\n".join("\n".join(LINES[i % 3 :] + LINES[:2]) for i in range(9))
    (tmp_path / "zh.txt").write_text(text, "utf-8")
    return tmp_path


@pytest.fixture
def dictionary(tmp_path) -> Path:
    (tmp_path / "words.txt").write_text("\ufeff阿布扎加尔 3 nr\n屯买\n", "utf-8")
    return tmp_path / "words.txt"


def tokenizer() -> BertTokenizer:
    return BertTokenizer([*SPECIAL, *sorted(set("".join(LINES)))])


def make(folder: Path, name: str, **options) -> bytes:
    out = folder / name / "records"
    workers = options.pop("workers", 1)
    create_pretraining_data(
        TextFiles(folder / "zh.txt", 64),
        out,
        tokenizer(),
        replace(SETTINGS, **options),
        workers=workers,
        progress=False,
    )
    return out.read_bytes()


def marked(words: str, line: str, user_dict: str | Path = "") -> str:
    """Returns a line with a bar before what goes on in no Chinese word."""
    inside = word_finder(words, user_dict)(line)
    return "".join(c if at in inside else f"|{c}" for at, c in enumerate(line))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("我买了T恤和U盘", "|我|买|了|T恤|和|U盘"),
        ("阿Q正传", "|阿Q|正传"),
        ("中国科学院计算所", "|中国科学院|计算所"),
        ("中国科学 \n院计算所", "|中国科学| |\n院|计算所"),
        ("天 安 门", "|天| 安| 门"),
        ("it is ok", "|i|t| |i|s| |o|k"),
        ("", ""),
    ],
)
@pytest.mark.usefixtures("jieba")
def test_words_of_jieba(line, expected):
    assert marked("jieba", line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("使用 语言 模型", "|使用| |语言| |模型"),
        (" T恤  don't\u3000好", "| |T恤| | |d|o|n|'|t|\u3000|好"),
    ],
)
def test_words_between_spaces(line, expected):
    assert marked("spaces", line) == expected


def test_every_ideograph_is_a_word_by_default():
    assert word_finder("tokenizer") is None


@pytest.mark.usefixtures("jieba")
def test_words_of_a_dictionary_are_known_to_that_dictionary_alone(dictionary):
    assert marked("jieba", "阿布扎加尔去了", dictionary).startswith("|阿布扎加尔|去")
    assert not marked("jieba", "阿布扎加尔去了").startswith("|阿布扎加尔|")


@pytest.mark.usefixtures("jieba")
def test_a_dictionary_has_its_effect_in_every_process(corpus, dictionary):
    without = make(corpus, "a", words="jieba")
    one = make(corpus, "b", words="jieba", user_dict=str(dictionary))
    two = make(corpus, "c", words="jieba", user_dict=str(dictionary), workers=2)
    assert without != one == two


def test_a_run_depends_on_the_content_of_its_dictionary(corpus, dictionary):
    settings = replace(SETTINGS, words="jieba", user_dict=str(dictionary))
    source = TextFiles(corpus / "zh.txt")
    made = RecordPipeline(source, [corpus / "r"], tokenizer(), settings)
    before = made._plan()
    dictionary.write_text("三里屯\n", "utf-8")
    assert made._plan() != before


def test_dictionaries_that_cannot_be_read(tmp_path):
    with pytest.raises(MissingFileError, match=r"none\.txt"):
        word_finder("jieba", tmp_path / "none.txt")
    (tmp_path / "gbk.txt").write_bytes("三里屯".encode("gbk"))
    with pytest.raises(InputError, match=r"gbk\.txt.*iconv"):
        word_finder("jieba", tmp_path / "gbk.txt")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"words": "jieba", "masking": "token"}, "no effect"),
        ({"words": "spaces", "user_dict": "a"}, "--words jieba"),
    ],
)
def test_settings_that_contradict_each_other(options, match):
    with pytest.raises(ConfigError, match=match):
        replace(SETTINGS, **options)
    with pytest.raises(UnknownNameError, match="Did you mean 'jieba'"):
        replace(SETTINGS, words="jeiba")


def test_replacements_are_tokens_that_text_can_become():
    vocabulary = [
        *SPECIAL,
        *("汉", "##汉", "a", "##a", "A", "##A", "é", ",", "##,", "中国", "##1", "語a"),
        "[unused7]",
    ]
    for lower, more in ((True, set()), (False, {"A", "##A", "é"})):
        made = BertTokenizer(vocabulary, do_lower_case=lower)
        found = made.convert_ids_to_tokens(Vocabulary.of(made).replacements)
        assert set(found) == {"汉", "a", "##a", ",", "##1"} | more


@pytest.mark.parametrize(("words", "said"), [("tokenizer", True), ("spaces", False)])
def test_the_command_says_that_ideographs_were_masked_alone(
    corpus, capsys, words, said
):
    vocab = corpus / "vocab.txt"
    vocab.write_text("\n".join(tokenizer().tokens), "utf-8")
    arguments = [
        *("data", "--input-file", corpus / "zh.txt", "--output-file", corpus / "o"),
        *("--vocab-file", vocab, "--masking", "word", "--words", words),
    ]
    assert main([str(each) for each in arguments]) in (0, None)
    out = capsys.readouterr().out
    assert ("each was masked as a word of its own" in out) == said


@pytest.mark.parametrize("form", ["static", "compact"])
def test_inspection_says_that_it_cannot_see_chinese_words(corpus, form):
    make(corpus, "a", words="spaces", form=form)
    found = inspect_records(corpus / "a" / "records", tokenizer())
    specials = found.statistics.pieces.sum() * 3
    assert found.statistics.ideographs == found.statistics.tokens - specials
    text = format_inspection(found)
    assert f"{found.statistics.ideographs:,} ideographs, each counted as a word" in text


def test_the_former_name_of_jieba_is_taken():
    former = replace(SETTINGS, chinese_whole_words=True)
    assert former == replace(SETTINGS, words="jieba")
    assert replace(former, dupe_factor=2).words == "jieba"
    with pytest.raises(ConfigError, match="which are the same"):
        replace(SETTINGS, chinese_whole_words=True, words="spaces")
