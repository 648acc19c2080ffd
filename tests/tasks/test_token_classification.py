"""Tagging words: in any scheme, at any length, from words and from texts."""

import json

import numpy as np
import pytest

from keras_bert import BertConfig, BertForTokenClassification, BertModel, BertTokenizer
from keras_bert.errors import InputError, UnknownNameError
from keras_bert.tasks import TokenClassification
from keras_bert.tasks.alignment import encode_words, split_words
from keras_bert.tasks.conll_files import Mark, Sentence, read_sentences
from tests.cli.calling import call
from tests.vocabulary import SPECIAL

VOCAB = [*SPECIAL, *"abcdef", "##x", "##y", *"北京天", ".", "ada", "rome", "in"]
CONFIG = BertConfig(
    vocab_size=len(VOCAB),
    hidden_size=24,
    num_hidden_layers=1,
    num_attention_heads=3,
    intermediate_size=20,
    max_position_embeddings=16,
)
LABELS = ["O", "B-X", "I-X", "B-Y", "I-Y"]
# The tag follows from the word, and some sentences take several windows.
TAG_OF = {"a": "B-X", "bx": "I-X", "c": "O", "d": "O", "e": "B-Y", "fxy": "I-Y"}
SENTENCES = [
    Sentence(words, tuple(TAG_OF[word] for word in words), lines=(7,) * len(words))
    for words in map(
        tuple, ("a bx c".split(), [*"ac", "bx"] * 6, ["e", "fxy", "d"] * 7, ["d"])
    )
]
SETTINGS = {"epochs": 40, "batch_size": 4, "learning_rate": 2e-2, "max_length": 13}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, tokenizer):
    path = tmp_path_factory.mktemp("m") / "encoder"
    return BertModel(CONFIG, seed=3).save_pretrained(path, tokenizer=tokenizer)


def task_of(labels, **options):
    config = CONFIG.replace(id2label=dict(enumerate(labels)))
    model = BertForTokenClassification(config, seed=3)
    return TokenClassification(model, BertTokenizer(VOCAB), **options)


@pytest.fixture(scope="module")
def trained(pretrained):
    task = TokenClassification.from_pretrained(pretrained)
    return task.fit(SENTENCES, show_progress=False, **SETTINGS)


def test_a_tagger_learns_answers_and_is_kept(trained, tmp_path):
    scores = trained.evaluate(SENTENCES)
    assert scores["f1"] == scores["X_f1"] == scores["accuracy"] == 100
    assert list(trained.evaluate(SENTENCES, metrics=["f1"])) == ["f1"]
    loaded = TokenClassification.load(trained.save(tmp_path / "kept"), max_length=13)
    assert loaded.labels == sorted(LABELS)
    [words] = loaded.predict([["e", "fxy", "\N{ZERO WIDTH SPACE}", "fxy", "d"]])
    assert words["tags"] == ["B-Y", "I-Y", "I-Y", "I-Y", "O"]
    assert words["entities"] == [{"entity": "Y", "first": 0, "last": 3}]


@pytest.mark.slow
def test_a_text_is_answered_by_the_exported_graph(trained):
    text = "d e  fxy. " + "c " * 30 + "a bx"
    [answer] = trained.predict([text])
    found = [(e["entity"], e["text"]) for e in answer["entities"]]
    assert ("Y", "e  fxy") in found and found[-1] == ("X", "a bx")
    assert all(text[e["start"] : e["end"]] == e["text"] for e in answer["entities"])
    words = trained.predict([[*"de", "fxy", ".", *"c" * 30, "a", "bx"]])[0]["entities"]
    assert [e["entity"] for e in words] == [kind for kind, _ in found]


def test_windows_are_those_of_the_exported_graph(tokenizer):
    import tensorflow as tf

    from keras_bert.serving.graph import entities
    from keras_bert.serving.graph.settings import AnswerSettings
    from keras_bert.tokenization.in_graph import InGraphTokenizer

    texts = ["a bx c" * 9, "d e fxy. " * 7, "c", "北京天" * 6]
    spans = [split_words(text, tokenizer) for text in texts]
    words = [[t[a:b] for a, b in s] for t, s in zip(texts, spans, strict=True)]
    in_graph = InGraphTokenizer.from_tokenizer(tokenizer, 16)
    for length, stride in ((13, 3), (9, 2), (7, 1)):
        options = {"max_length": length, "stride": stride}
        features, places = encode_words(words, tokenizer, **options)
        settings = AnswerSettings(in_graph, tuple(LABELS), length, stride, 30)
        served = entities.encode(settings, tf.constant(texts))
        np.testing.assert_array_equal(features["input_ids"], served["input_ids"])
        begins = ~in_graph.continues_word(served["input_ids"])
        kept = np.argwhere(entities.kept(served, settings) & begins).tolist()
        assert kept == np.stack([places.rows, places.columns], 1).tolist()


def test_every_word_is_learned_once():
    task = task_of(LABELS, max_length=9)
    features, labels = task.encode(SENTENCES)
    assert labels.shape == features["input_ids"].shape and len(labels) > 4
    counts = np.bincount(labels[labels >= 0], minlength=len(LABELS))
    tags = [tag for sentence in SENTENCES for tag in sentence.tags]
    assert counts.tolist() == [tags.count(label) for label in LABELS]
    logits = np.eye(len(LABELS))[np.maximum(labels, 0)]
    found = task.tagged(SENTENCES, logits)
    assert [s.tags for s in found] == [s.tags for s in SENTENCES]


TEXTS = [
    Sentence(text="北京天 ada.", marks=(Mark("LOC", 0, 2), Mark("PER", 4, 7))),
    Sentence(text="axy in rome", marks=(Mark("LOC", 0, 2), Mark("LOC", 7, 11))),
]


@pytest.mark.parametrize("letters", ["BI", "BMES", "BIES"])
def test_entities_in_texts_have_the_tags_of_the_head(letters, caplog):
    labels = [
        "O",
        *(f"{letter}-{kind}" for kind in ("LOC", "PER") for letter in letters),
    ]
    task = task_of(labels)
    items = task.read(TEXTS)
    assert "1 entities do not begin and end where words do" in caplog.text
    assert "first is 'ax'" in caplog.text
    _, ids = task.encode(items)
    found = task.tagged(items, np.eye(len(labels))[np.maximum(ids, 0)])
    assert found[0].marks == TEXTS[0].marks
    assert found[1].marks == (Mark("LOC", 0, 3), Mark("LOC", 7, 11))
    scores = task.score(items, np.eye(len(labels))[np.maximum(ids, 0)])
    assert scores["f1"] == 75 and "accuracy" not in scores


def test_tags_of_another_scheme_are_scored_as_they_are():
    task = task_of(["O", "B-X", "I-X", "E-X", "S-X"])
    gold = [Sentence(tuple("abc"), ("B-X", "I-X", "O"))]
    logits = np.zeros((1, 5, 5))
    logits[0, [1, 2, 3], [1, 3, 0]] = 1  # B E O
    assert task.score(gold, logits)["f1"] == 100


def test_irregular_tags_are_counted(caplog):
    tags = ("I-X", "O", "B-X", "I-X", "B-Y")
    task_of(LABELS).check_items([Sentence(tuple("abcde"), tags)], "a.conll")
    assert "a.conll: 1 entities are tagged otherwise than IOB2 tags them" in caplog.text


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [
        ([["a"]], None, "Expected tags as labels"),
        ([["a"]], [], "as many lists of tags as sentences, 1"),
        ([["a", "b"]], [["O"]], "each of the 2 words of sentence 0. Received: 1"),
        (["a"], [["O"]], "lists of words, .*'a' as number 0"),
        ([["a"]], [[3]], r"lists of tags as labels. Received: '\[3\]' as number 0"),
        ([], [], "Expected sentences in the data. Received: none"),
        (
            [["a", "b"]],
            [["O", "B-Z"]],
            "tags among O, B-X.* Received: 'B-Z' of the data",
        ),
        ([["a", "b"]], [["B-X", "LOC"]], "of one tagging scheme"),
    ],
)
def test_what_cannot_be_learned_is_named(words, tags, message):
    with pytest.raises(InputError, match=message):
        task_of(LABELS).fit(words, tags, show_progress=False, **SETTINGS)


def test_a_line_of_an_unknown_tag_is_named():
    item = Sentence(("a", "b"), ("O", "B-Z"), lines=(4, 6))
    with pytest.raises(InputError, match=r"'B-Z' in line 6 of f\.conll"):
        task_of(LABELS).encode([item], name="f.conll")


def test_commands_train_and_score(pretrained, tmp_path):
    data, run, out = (tmp_path / name for name in ("train.conll", "run", "out.conll"))
    data.write_text("ada I-PER\nin O\nrome I-LOC\n\nrome I-LOC\n. O\n\n")
    recipe = ("--recipe", "conll-2003", "--epochs", 30, "--learning-rate", 1e-2)
    files = ("--train", data, "--dev", data, "--output", run)
    result = call("finetune", "--task", "ner", "--model", pretrained, *files, *recipe)
    assert result.status == 0, result.err
    assert "2 sentences of 5 words, 3 tags in IOB1" in result.out
    command = ("evaluate", "--data", data, "--json", "--predictions", out)
    result = call(*command, "--model", run)  # whose head tells the task
    assert result.status == 0, result.err
    scores = json.loads(result.out)
    assert scores["f1"] == scores["PER_f1"] == 100
    assert list(read_sentences(out)) == list(read_sentences(data))
    scored = json.loads(call(*command, "--task", "ner").out)
    assert {**scored, "examples": 2} == {**scores, "sentences": 2}


def test_a_column_that_the_task_does_not_know_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="option of data for ner 'text_pair'"):
        task_of(LABELS).rows(tmp_path / "a.conll", text_pair="b")


def test_a_file_of_words_is_tagged(trained, tmp_path):
    path = trained.save(tmp_path / "model")
    words, out = tmp_path / "words.txt", tmp_path / "out.conll"
    words.write_text("a\nbx\nc\n\nd\n")
    command = ("predict", "--model", path, "--input", words)
    result = call(*command, "--format", "conll", "--output", out)
    assert result.status == 0, result.err
    assert out.read_text() == "a\tB-X\nbx\tI-X\nc\tO\n\nd\tO\n\n"
    again = call(*command, "--format", "conll", "--output", out)
    assert again.status == 2 and "exists" in again.err
    missing = call(*command, "--format", "conll")
    assert missing.status == 2 and "Expected --output" in missing.err
