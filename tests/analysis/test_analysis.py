"""Curves, attention, filled masks, features, the report, and their commands."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_bert import (
    BertConfig,
    BertForMultipleChoice,
    BertForPreTraining,
    BertForSequenceClassification,
    BertTokenizer,
)
from keras_bert.analysis import (
    attention_maps,
    extract_features,
    fill_mask,
    hide_words,
    plot_attention,
    plot_curves,
    read_metrics,
    write_report,
)
from keras_bert.analysis.curves import smooth
from keras_bert.analysis.fill_mask import Guess, HiddenWord
from keras_bert.analysis.report import (
    Code,
    FilledMasks,
    Numbers,
    Picture,
    Section,
    Table,
    Text,
)
from keras_bert.atomic_files import new_file
from keras_bert.cli import main
from keras_bert.errors import ExistingOutputError, InputError, MissingFileError
from tests.bounds import assert_close

VOCAB = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] the size of a box and lid fits well . ##es".split()
)
CONFIG = BertConfig(
    vocab_size=len(VOCAB),
    hidden_size=14,
    num_hidden_layers=3,
    num_attention_heads=7,
    intermediate_size=37,
    max_position_embeddings=13,
)
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def model() -> BertForPreTraining:
    return BertForPreTraining(CONFIG, seed=5)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tokenizer):
    config = CONFIG.replace(id2label={0: "bad", 1: "good"})
    path = tmp_path_factory.mktemp("checkpoints") / "classifier"
    classifier = BertForSequenceClassification(config, seed=5)
    classifier.save_pretrained(path, tokenizer=tokenizer)
    return path


def png_size(path) -> tuple[int, int]:
    """Width and height, which stand in a PNG's first chunk."""
    data = path.read_bytes()
    assert data.startswith(PNG)
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


# === Outputs ===


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with pytest.raises(ZeroDivisionError), new_file(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with new_file(path) as partial:
        partial.write_text("whole")
    with pytest.raises(ExistingOutputError), new_file(path):
        pytest.fail("the file is there")
    with new_file(path, overwrite=True) as partial:
        partial.write_text("other")
    assert path.read_text() == "other"
    with pytest.raises(ExistingOutputError), new_file(tmp_path, overwrite=True):
        pytest.fail("a directory is never replaced")


# === Curves ===


def run_records() -> list[dict]:
    train = [
        {"step": s, "split": "train", "mlm_loss": 9 / s, "mlm_accuracy": s / 50}
        for s in range(1, 38)
    ]
    return [*train, {"step": 37, "split": "heldout", "mlm_loss": 0.5}]


def test_curves_from_a_file_equal_those_from_records(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(r) + "\n" for r in run_records()))
    assert read_metrics(metrics) == run_records()
    first = plot_curves(metrics, tmp_path / "a.png")
    second = plot_curves(run_records(), tmp_path / "b.png")
    assert first.read_bytes() == second.read_bytes()
    assert png_size(first)[0] > 1000


def test_heldout_values_and_references_are_drawn(tmp_path):
    records = run_records()
    drawn = {
        "all": plot_curves(records, tmp_path / "all.png"),
        "training": plot_curves(records[:-1], tmp_path / "training.png"),
        "line": plot_curves(
            records, tmp_path / "line.png", references={"mlm_loss": {"entropy": 3.0}}
        ),
    }
    assert len({path.read_bytes() for path in drawn.values()}) == 3


def test_a_plain_run_and_values_that_are_not_finite(tmp_path):
    records = [{"step": s, "loss": v} for s, v in ((1, 2.0), (2, math.nan), (3, 1.0))]
    assert png_size(plot_curves(records, tmp_path / "c.png"))[1] > 300


@pytest.mark.parametrize("line", ["{", "[1]", '{"loss": 1}', '{"step": "x"}'])
def test_damaged_metrics_are_named(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n' + line + "\n")
    with pytest.raises(InputError, match="line 2"):
        read_metrics(path)


def test_nothing_to_draw(tmp_path):
    with pytest.raises(InputError, match="mlm_loss"):
        plot_curves([{"step": 1, "time": 3.0}], tmp_path / "c.png")
    with pytest.raises(MissingFileError):
        plot_curves(tmp_path / "none.jsonl", tmp_path / "c.png")
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=40), st.integers(1, 20))
def test_smoothing_stays_within_what_it_averages(values, window):
    smoothed = smooth(np.array(values), window)
    assert smoothed[0] == pytest.approx(values[0])
    assert min(values) - 1e-9 <= smoothed.min() <= smoothed.max() <= max(values) + 1e-9
    if window == 1:
        np.testing.assert_allclose(smoothed, values)


# === Attention ===


def test_attention_is_what_the_model_returns(model, tokenizer):
    tokens, maps = attention_maps(model, tokenizer, "the size", "of boxes")
    assert tokens == "[CLS] the size [SEP] of box ##es [SEP]".split()
    assert maps.shape == (3, 7, 8, 8) and maps.dtype == np.float32
    assert_close(maps.sum(-1), 1)
    asked = BertForPreTraining(CONFIG.replace(output_attentions=True), seed=5)
    asked.set_weights(model.get_weights())
    outputs = asked(tokenizer(["the size"], text_pairs=["of boxes"]))
    for layer, expected in enumerate(outputs["attentions"]):
        assert_close(maps[layer], np.asarray(expected)[0])


def test_models_that_choose_have_attention_too(model, tokenizer):
    chooser = BertForMultipleChoice(CONFIG, seed=5)
    found = attention_maps(chooser, tokenizer, "the box", "of boxes")
    assert found.probabilities.shape == (3, 7, 8, 8)


def test_long_text_is_cut_to_the_models_row(model, tokenizer):
    assert len(attention_maps(model, tokenizer, "box " * 99).tokens) == 13
    found = attention_maps(model, tokenizer, "box " * 99, max_length=5)
    assert found.tokens == ["[CLS]", "box", "box", "box", "[SEP]"]


def test_attention_picture_grows_with_what_is_drawn(tmp_path):
    maps = np.full((3, 2, 5, 5), 0.2)
    whole = plot_attention(list("abcde"), maps, tmp_path / "a.png")
    part = plot_attention(
        list("abcde"), maps, tmp_path / "b.png", layers=[2], heads=[1]
    )
    (width, height), (part_width, part_height) = png_size(whole), png_size(part)
    assert width > part_width and height > part_height
    with pytest.raises(ExistingOutputError):
        plot_attention(list("abcde"), maps, tmp_path / "a.png")


@pytest.mark.parametrize(
    ("tokens", "choice", "message"),
    [
        ("abcd", {}, r"\(layers, heads, 4, 4\)"),
        ("abcde", {"layers": [3]}, "layers from 0 to 2"),
        ("abcde", {"heads": [-1]}, "heads from 0 to 1"),
        ("abcde", {"heads": []}, "heads from 0 to 1"),
    ],
)
def test_attention_that_does_not_fit(tmp_path, tokens, choice, message):
    with pytest.raises(InputError, match=message):
        plot_attention(
            list(tokens), np.zeros((3, 2, 5, 5)), tmp_path / "a.png", **choice
        )
    assert list(tmp_path.iterdir()) == []


# === Masks ===


def test_masks_are_filled_with_the_models_probabilities(model, tokenizer):
    found = fill_mask(model, tokenizer, "the [MASK] of a[MASK].", top_k=4)
    ids = np.array([[2, 5, 4, 7, 8, 4, 14, 3]], "int32")  # [CLS] the [MASK] of a …
    logits = np.asarray(model({"input_ids": ids})["prediction_logits"])[0, [2, 5]]
    for guesses, row in zip(found, np.exp(logits), strict=True):
        expected = row / row.sum()
        best = np.argsort(-expected)[:4]
        assert [guess.token for guess in guesses] == [VOCAB[i] for i in best]
        np.testing.assert_allclose(
            [g.probability for g in guesses], expected[best], 1e-5
        )


def test_masks_refused(model, tokenizer, checkpoint):
    with pytest.raises(InputError, match=r"\[MASK\]"):
        fill_mask(model, tokenizer, "the mask")
    with pytest.raises(InputError, match="at most 13 tokens"):
        fill_mask(model, tokenizer, "[MASK] " * 14)
    classifier = BertForSequenceClassification.from_pretrained(checkpoint)
    with pytest.raises(InputError, match="BertForSequenceClassification"):
        fill_mask(classifier, tokenizer, "the [MASK]")


def test_words_are_hidden_one_per_sentence(tokenizer):
    sentences = [
        "The Size of a box.",
        "a box fits well.size and unknownword",
        "well",
        "the of a and",
    ]
    found = hide_words(sentences, tokenizer, 3, min_words=3, count=9)
    assert set(found) == {
        HiddenWord("The [MASK] of a box.", "size"),
        HiddenWord("a box [MASK] well.size and unknownword", "fits"),
    }
    assert hide_words(sentences, tokenizer, 3, min_words=3, count=1) == found[:1]


# === Features ===


def test_features_are_the_hidden_states(model, tokenizer):
    texts = ["the lid", "a box and a lid", "fits"]
    found = list(
        extract_features(model, tokenizer, texts, layers=[-1, 0], batch_size=2)
    )
    assert [row["linex_index"] for row in found] == [0, 1, 2]
    tokens = [feature["token"] for feature in found[0]["features"]]
    assert tokens == ["[CLS]", "the", "lid", "[SEP]"]
    asked = BertForPreTraining(CONFIG.replace(output_hidden_states=True), seed=5)
    asked.set_weights(model.get_weights())
    for text, row in zip(texts, found, strict=True):
        states = asked(tokenizer([text]))["hidden_states"]
        for n, layer in enumerate([-1, 0]):
            values = [f["layers"][n]["values"] for f in row["features"]]
            assert_close(values, np.asarray(states[layer])[0])
            assert row["features"][0]["layers"][n]["index"] == layer


@pytest.mark.parametrize("layers", [[4], [-5], []])
def test_features_of_layers_that_are_not_there(model, tokenizer, layers):
    with pytest.raises(InputError, match="0 to 3, or from -4 to -1"):
        next(extract_features(model, tokenizer, ["the"], layers=layers))


# === Report ===


def test_report_holds_everything_and_loads_nothing(tmp_path):
    picture = plot_curves(run_records(), tmp_path / "curves.png")
    hidden = HiddenWord("The [MASK] of <it>.", "size")
    sections = [
        Section("Numbers & more", [Numbers({"accuracy": "0.91"}), Text("a < b")]),
        Section("Table", [Table(["x"], [["1.5"], ["<b>"]], emphasized=[1])]),
        Section("Picture", [Picture(picture, 'the "curves"')]),
        Section("Masks", [FilledMasks([(hidden, [Guess("size", 0.75)])])]),
        Section("Code", [Code('{"text": "<i>"}')]),
    ]
    page = write_report(tmp_path / "r.html", "A <run>", sections).read_text("utf-8")
    for expected in (
        "<h1>A &lt;run&gt;</h1>",
        "<h2>Numbers &amp; more</h2>",
        "<strong>0.91</strong>",
        "<p>a &lt; b</p>",
        "<td class=number>1.5</td>",
        "<tr class=emphasized><td>&lt;b&gt;</td>",
        'src="data:image/png;base64,iVBORw0KGgo',
        'alt="the &quot;curves&quot;"',
        "The <mark>size</mark> of &lt;it&gt;.",
        "<li class=right><code>size</code>",
        "75.0%",
        "&lt;i&gt;",
    ):
        assert expected in page
    assert "http" not in page.replace("http-equiv", "")
    with pytest.raises(ExistingOutputError):
        write_report(tmp_path / "r.html", "again", [])


def test_no_report_without_its_pictures(tmp_path):
    section = Section("s", [Picture(tmp_path / "none.png", "nothing")])
    with pytest.raises(MissingFileError, match=r"none\.png"):
        write_report(tmp_path / "r.html", "title", [section])
    assert list(tmp_path.iterdir()) == []


# === Commands ===


def test_attention_command(checkpoint, tmp_path, capsys):
    output = tmp_path / "a.png"
    command = [
        "attention",
        "--model",
        str(checkpoint),
        "the box",
        "--output",
        str(output),
    ]
    assert main([*command, "--layers", "0", "--heads", "1,2"]) == 0
    assert png_size(output)[0] > 100
    assert main(command) == 2
    assert "overwrite" in capsys.readouterr().err
    page = tmp_path / "a.html"
    assert main([*command[:-1], str(page)]) == 0
    assert 'class="attention"' in page.read_text("utf-8")
    assert main([*command[:-1], str(page), "--layers", "0", "--overwrite"]) == 2
    assert "all of them to choose from" in capsys.readouterr().err


def test_features_command(checkpoint, tmp_path, capsys):
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("the box ||| a lid\nfits ||| well\n")
    command = ["features", "--model", str(checkpoint), "--layers=-1"]
    assert main([*command, "--input", str(source), "--output", str(output)]) == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    tokens = [feature["token"] for feature in rows[1]["features"]]
    assert tokens == ["[CLS]", "fits", "[SEP]", "well", "[SEP]"]
    capsys.readouterr()
    assert main([*command, "fits ||| well"]) == 0
    printed = json.loads(capsys.readouterr().out)
    first = [f["layers"][0]["values"] for f in printed["features"]]
    expected = [f["layers"][0]["values"] for f in rows[1]["features"]]
    assert_close(first, expected)
    assert main([*command, "a ||| b", "c"]) == 2
    assert main(command) == 2


def test_evaluate_command(checkpoint, tmp_path, capsys):
    texts = ["the box fits", "a lid", "the size of a lid", "well"]
    data = tmp_path / "test.tsv"
    data.write_text("text\tlabel\n" + "".join(f"{t}\tgood\n" for t in texts))
    scores, predictions = tmp_path / "scores.json", tmp_path / "p.jsonl"
    command = ["evaluate", "--model", str(checkpoint), "--data", str(data)]
    outputs = ["--output", str(scores), "--predictions", str(predictions)]
    assert main([*command, *outputs, "--metrics", "accuracy", "--batch-size", "3"]) == 0
    found = json.loads(scores.read_text())
    assert json.loads(capsys.readouterr().out) == found
    classifier = BertForSequenceClassification.from_pretrained(checkpoint)
    logits = [classifier(BertTokenizer.from_pretrained(checkpoint)([t])) for t in texts]
    right = [int(np.asarray(row)[0].argmax()) for row in logits]
    assert found == {"examples": 4, "accuracy": sum(right) / 4}
    rows = [json.loads(line) for line in predictions.read_text().splitlines()]
    assert [row["prediction"] for row in rows] == [["bad", "good"][i] for i in right]


def test_evaluate_names_an_unknown_label(checkpoint, tmp_path, capsys):
    data = tmp_path / "test.tsv"
    data.write_text("text\tlabel\nthe box\tugly\n")
    assert main(["evaluate", "--model", str(checkpoint), "--data", str(data)]) == 2
    assert "bad, good" in capsys.readouterr().err
