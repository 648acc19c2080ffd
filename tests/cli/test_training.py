"""The commands from text to predictions, in process, one after the other."""

import contextlib
import io
import json
import os
import signal

import numpy as np
import pytest

import keras_bert
from keras_bert.cli import COMMANDS, main
from tests.bounds import assert_close
from tests.cli.calling import call

TOPICS = {
    "sea": ["the sea is wide and blue", "a ship sails over the sea", "waves are wide"],
    "sun": ["the sun is hot and bright", "a lamp shines like the sun", "light is hot"],
}
VOCAB, SEQ, STEPS = 120, 24, 4


def _write_corpus(path):
    documents = []
    for number in range(20):
        for sentences in TOPICS.values():
            start = number % len(sentences)
            turned = sentences[start:] + sentences[:start]
            documents.append("\n".join(turned * 2))
    path.write_text("\n\n".join(documents) + "\n", encoding="utf-8")


def _write_task(path):
    rows = [
        f"{sentence} again\t{topic}"
        for topic, sentences in TOPICS.items()
        for sentence in sentences
    ]
    path.write_text("\n".join(["text\tlabel", *rows * 2]) + "\n", encoding="utf-8")


def _write_config(path, **changes):
    config = keras_bert.BertConfig(
        vocab_size=VOCAB,
        hidden_size=28,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=37,
        max_position_embeddings=SEQ,
    )
    path.write_text(config.replace(**changes).to_json_string(), encoding="utf-8")


def _commands(folder):
    """The arguments of every step, in order."""
    tokenizer, records = folder / "tokenizer", folder / "records"
    return {
        "vocab": [
            *("vocab", folder / "corpus.txt", "--output", tokenizer),
            *("--vocab-size", VOCAB),
        ],
        "data": [
            *("data", "--input_file", folder / "corpus.txt"),
            *("--output_file", f"{records}@2", "--vocab_file", tokenizer),
            *("--max_seq_length", SEQ, "--max_predictions_per_seq", 4),
            *("--dupe_factor", 2),
        ],
        "pretrain": [
            *("pretrain", "--data", f"{records}*", "--heldout", f"{records}*"),
            *("--heldout-batches", 2, "--vocab", tokenizer, "--batch-size", 7),
            *("--model", folder / "tiny.json", "--steps", STEPS, "--warmup-steps", 1),
            *("--log-every", 2, "--checkpoint-every", 2, "--evaluate-every", 2),
            *("--output", folder / "pretrained"),
        ],
        "finetune": [
            *("finetune", "--model", folder / "pretrained" / "model"),
            *("--train", folder / "task.tsv", "--dev", folder / "task.tsv"),
            *("--max-length", 13, "--batch-size", 6, "--epochs", 20),
            *("--learning-rate", "5e-3", "--output", folder / "classifier"),
        ],
        "evaluate": [
            *("evaluate", "--model", folder / "classifier" / "model"),
            *("--data", folder / "task.tsv", "--output", folder / "scores.json"),
            *("--predictions", folder / "predictions.jsonl"),
        ],
        "predict": [
            *("predict", "--model", folder / "classifier" / "model"),
            *("a ship sails over waves", "the bright sun shines"),
        ],
        "export": [
            *("export", "--model", folder / "classifier" / "model"),
            *("--output", folder / "served", "--max-length", 13),
        ],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    _write_corpus(folder / "corpus.txt")
    _write_task(folder / "task.tsv")
    return folder


@pytest.fixture(scope="module")
def results(folder):
    """Every command run once, each on what the one before it wrote."""
    results = {}
    for name, arguments in _commands(folder).items():
        if name == "pretrain":
            vocabulary = (folder / "tokenizer" / "vocab.txt").read_text().split()
            _write_config(folder / "tiny.json", vocab_size=len(vocabulary))
        results[name] = call(*arguments)
        assert results[name].status == 0, (name, results[name].err)
    return results


def _lines(folder, run):
    return [json.loads(line) for line in (folder / run / "metrics.jsonl").open()]


def test_vocab_and_data_say_what_they_wrote(folder, results):
    tokens = (folder / "tokenizer" / "vocab.txt").read_text().split()
    assert f"Wrote {len(tokens)} tokens to" in results["vocab"].out
    assert "0.0000% unknown" in results["vocab"].out
    files = {path.name for path in folder.glob("records*")}
    assert len(files) == 2
    assert " records to " in results["data"].out


def test_data_says_when_documents_are_too_short_for_pairs(folder, results, tmp_path):
    assert "are random or swapped.\n" in results["data"].out
    assert "That is not about half" not in results["data"].out
    paragraphs = ["the sea is wide\nand blue", "waves\nare wide"] * 9
    (tmp_path / "wrapped.txt").write_text("\n\n".join(paragraphs) + "\n")
    arguments = ["--input-file", tmp_path / "wrapped.txt", "--vocab-file"]
    arguments += [folder / "tokenizer", "--output-file", tmp_path / "records"]
    out = call("data", *arguments, "--max-seq-length", 12).out
    assert "That is not about half" in out and "--source=documents" in out


def test_pretrain_keeps_a_run_and_a_model(folder, results):
    names = {path.name for path in (folder / "pretrained").iterdir()}
    expected = {"plan.json", "metrics.jsonl", "tensorboard", "checkpoints", "model"}
    assert names == expected | {"curves.png", "report.html"}
    page = (folder / "pretrained" / "report.html").read_text("utf-8")
    assert "Masked-LM loss" in page and "keras-bert pretrain" in page
    lines = _lines(folder, "pretrained")
    assert [(line["split"], line["step"]) for line in lines] == [
        ("train", 2),
        ("heldout", 2),
        ("train", 4),
        ("heldout", 4),
    ]
    model = keras_bert.BertForPreTraining.from_pretrained(folder / "pretrained/model")
    out = results["pretrain"].out
    assert f"{model.count_params():,} parameters, 4 steps of 7 rows, 672 tokens" in out
    assert f"mlm_loss {lines[-1]['mlm_loss']:.4g}" in out
    assert f"Wrote {folder / 'pretrained' / 'model'}" in out


def test_pretrain_called_again_goes_on_at_once(folder, results):
    lines = (folder / "pretrained" / "metrics.jsonl").read_text()
    again = call(*_commands(folder)["pretrain"])
    assert again.status == 0
    assert (folder / "pretrained" / "metrics.jsonl").read_text() == lines
    assert again.out.splitlines()[-3:] == results["pretrain"].out.splitlines()[-3:]


def test_pretrain_stops_with_success_when_the_machine_is_taken_away(
    folder, results, monkeypatch
):
    from keras_bert.training import loop

    output = folder / "taken"
    arguments = [*_commands(folder)["pretrain"], "--output", output]
    next_batch = loop.next_batch

    def end_there(batches, step):
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return next_batch(batches, step)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "next_batch", end_there)
        stopped = call(*arguments)
    assert stopped.status == 0
    assert "after step 3, which is saved" in stopped.err
    assert (output / "checkpoints" / "step-3").is_dir()
    assert not (output / "model").exists()
    assert call(*arguments).status == 0
    lines = {run: _lines(folder, run) for run in ("pretrained", "taken")}
    losses = [[line["loss"] for line in lines[run]] for run in lines]
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_pretrain_on_compact_records_on_two_devices_with_averages(folder, results):
    compact = folder / "compact.tfrecord"
    data = _commands(folder)["data"]
    data = ["--form=compact" if a == "--dupe_factor" else a for a in data]
    data = [compact if a == f"{folder / 'records'}@2" else a for a in data if a != 2]
    made = call(*data)
    assert made.status == 0, made.err
    arguments = _commands(folder)["pretrain"]
    arguments[arguments.index("--data") + 1] = compact
    arguments[arguments.index("--heldout") + 1] = compact
    arguments[arguments.index("--batch-size") + 1] = 8
    arguments[arguments.index("--output") + 1] = folder / "compact-run"
    done = call(
        *arguments,
        *("--masking", "word", "--max-predictions-per-seq", 3),
        *("--distribution", "mirrored", "--ema-momentum", 0.5),
        *("--gradient-accumulation-steps", 2, "--optimizer", "lamb"),
    )
    assert done.status == 0, done.err
    last = _lines(folder, "compact-run")[-1]
    assert last["split"] == "heldout" and np.isfinite(last["mlm_perplexity"])
    stored = json.loads((folder / "compact-run" / "plan.json").read_text())["plan"]
    assert stored["distribution"] == "mirrored" and stored["optimizer"] == "lamb"


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--learning-rate", 0), "learning_rate above 0"),
        (("--keep", 0), "keep of 1 or more"),
        (("--distribution", "data_parallel"), "KERAS_BACKEND"),
        (("--optimizer", "adamm"), "one of adamw, adam, lamb"),
        (("--init-optimizer",), "--init with --init-optimizer"),
    ],
)
def test_pretrain_refuses_what_cannot_be(flags, message, folder, results):
    output = folder / "never"
    refused = call(*_commands(folder)["pretrain"], *flags, "--output", output)
    assert refused.status == 2 and refused.err.count("\n") == 1
    assert message in refused.err, refused.err
    assert not output.exists()


def test_another_run_in_the_directory_is_refused(folder, results):
    arguments = _commands(folder)["pretrain"]
    arguments[arguments.index("--steps") + 1] = STEPS + 1
    refused = call(*arguments)
    assert refused.status == 2
    assert "another plan" in refused.err and refused.err.count("\n") == 1


def test_finetune_weighs_classes_and_freezes_by_name(folder, results):
    command = [*_commands(folder)["finetune"][:-1], folder / "other", "--dry-run"]
    levers = ("--label-smoothing", 0.1, "--freeze", "embeddings", "layer_0/")
    weighed = ("--class-weight", "balanced")
    done = call(*command, *levers, *weighed)
    assert "'label_smoothing': 0.1, 'class_weight': [1.0, 1.0]" in done.out
    assert "weights that match ['embeddings', 'layer_0/'] stay frozen" in done.out
    for wrong in ("seaa=2", "=2", "sea=x"):
        done = call(*command, "--class-weight", wrong)
        assert done.status == 2 and wrong.split("=")[0] in done.err, done.err


def test_finetune_learns_the_task(folder, results):
    assert "12 examples, 2 classes, 40 steps" in results["finetune"].out
    last = _lines(folder, "classifier")[-1]
    assert last["split"] == "heldout" and last["accuracy"] == 1.0
    config = json.loads((folder / "classifier/model/config.json").read_text())
    assert config["id2label"] == {"0": "sea", "1": "sun"}


def test_evaluate_prints_and_writes_the_scores(folder, results):
    scores = json.loads(results["evaluate"].out)
    assert scores == json.loads((folder / "scores.json").read_text())
    assert (scores["examples"], scores["accuracy"]) == (12, 1.0)
    assert len((folder / "predictions.jsonl").read_text().splitlines()) == 12


def test_predict_answers_line_by_line(results):
    rows = [json.loads(line) for line in results["predict"].out.splitlines()]
    assert [row["label"] for row in rows] == ["sea", "sun"]


def test_export_answers_as_predict_does(folder, results):
    import tensorflow as tf

    assert f"Wrote {folder / 'served' / '1'}" in results["export"].out
    served = tf.saved_model.load(str(folder / "served" / "1"))
    texts = tf.constant(["a ship sails over waves", "the bright sun shines"])
    answers = served.signatures["serving_default"](text=texts)
    rows = [json.loads(line) for line in results["predict"].out.splitlines()]
    assert_close(answers["logits"].numpy(), [row["logits"] for row in rows])


def test_a_vocabulary_larger_than_the_model_is_refused(folder, results):
    larger = folder / "larger.txt"
    tokens = (folder / "tokenizer" / "vocab.txt").read_text() + "extra\nmore\n"
    larger.write_text(tokens)
    for command in ("pretrain", "finetune"):
        arguments = _commands(folder)[command]
        output = folder / f"refused-{command}"
        arguments = [*arguments, "--vocab", larger, "--output", output]
        refused = call(*arguments)
        assert refused.status == 2, command
        assert "vocabulary" in refused.err and refused.err.count("\n") == 1
        assert not output.exists()


def test_rows_longer_than_the_model_takes_are_refused(folder, results):
    short = folder / "short.json"
    tokens = (folder / "tokenizer" / "vocab.txt").read_text().split()
    _write_config(short, vocab_size=len(tokens), max_position_embeddings=SEQ - 1)
    output = folder / "refused"
    arguments = _commands(folder)["pretrain"]
    refused = call(*arguments, "--model", short, "--output", output)
    assert refused.status == 2 and not output.exists()
    assert f"at most {SEQ - 1} tokens" in refused.err

    long = folder / "long.tsv"
    long.write_text("text\tlabel\n" + "the sea " * SEQ + "\tsea\na lamp\tsun\n")
    arguments = [*_commands(folder)["finetune"], "--max-length", SEQ + 8]
    refused = call(*arguments, "--train", long, "--output", output)
    assert refused.status == 2 and not output.exists()
    assert f"at most {SEQ} tokens" in refused.err


# === Help ===


def test_help_lists_every_command():
    for arguments in ([], ["--help"], ["-h"]):
        shown = call(*arguments)
        assert shown.status == 0
        assert all(f"  {name} " in shown.out for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: keras-bert {command}" in out.getvalue()
    assert "--debug" in out.getvalue()


def test_unknown_command_is_named():
    shown = call("pretrian")
    assert shown.status == 2
    assert "'pretrian'" in shown.err and "pretrain" in shown.err


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(keras_bert.errors.MissingFileError):
        main(["inspect", str(tmp_path / "absent"), "--debug"])
