"""What cannot be used: one sentence that says what to do, and nothing written.

Every case is a command; it is run as a user runs it, and once more for the error
that the library raised.
"""

import contextlib
import io
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import keras_bert
from keras_bert import errors
from keras_bert.cli import main
from tests.checkpoints.fakes import VOCABULARY, contents_of, tiny_config, write_fake
from tests.cli.calling import call

CLASSIFIER = "BertForSequenceClassification"
DATA = "bert_model.ckpt.data-00000-of-00001"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Files that can be used, to be spoiled."""
    folder = tmp_path_factory.mktemp("good")
    for to in ("google", "huggingface"):
        write_fake(folder / to, to)
    config = tiny_config()
    write_fake(folder / "classifier", "huggingface", CLASSIFIER, config)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    (folder / "corpus.txt").write_text("a b c\nd e f\n\ng h i\nj k l\n")
    (folder / "config.json").write_text(config.to_json_string())
    (folder / "task.tsv").write_text("text\tlabel\na b\tyes\nc d\tno\n")
    return folder


@pytest.fixture()
def work(good, tmp_path, monkeypatch):
    """A copy of them, as the working directory."""
    shutil.copytree(good, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


# === Ways to spoil ===


def _nothing(work: Path) -> None:
    """The files are good; the arguments are not."""


def _cut(name: str) -> Callable[[Path], None]:
    def spoil(work):
        file = work / name
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    return spoil


def _write(name: str, text: str) -> Callable[[Path], None]:
    def spoil(work):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)

    return spoil


def _misshapen(work: Path) -> None:
    def change(tensors):
        name = next(key for key in tensors if key.endswith("pooler.dense.weight"))
        tensors[name] = type(tensors[name]).of(np.zeros((15, 14), "float32"))

    shutil.rmtree(work / "huggingface")
    write_fake(work / "huggingface", "huggingface", change=change)


def _more_tokens(name: str) -> Callable[[Path], None]:
    more = "\n".join([*VOCABULARY, *(f"word{i}" for i in range(99))])
    return _write(name, more + "\n")


# === Cases ===


@dataclass(frozen=True)
class Case:
    """A command on spoiled files, and what its error is to say."""

    command: str
    words: Sequence[str]
    error: type
    spoil: Callable[[Path], None] = _nothing


_CONVERT = "convert huggingface out --to google"
_PRETRAIN = "pretrain --data {} --vocab vocab.txt --steps 2 --output out --model {}"
_FINETUNE = "finetune --model {} --train {} --output out"
_DATA = "data --input_file {} --output_file records --vocab_file {}"

CASES = {
    # Missing files
    "no checkpoint": Case(
        "convert absent out --to huggingface", ["absent"], errors.MissingFileError
    ),
    "no model": Case(
        _FINETUNE.format("absent", "task.tsv"), ["absent"], errors.MissingFileError
    ),
    "no task file": Case(
        _FINETUNE.format("classifier", "absent.tsv"),
        ["absent.tsv"],
        errors.MissingFileError,
    ),
    "no records": Case(
        _PRETRAIN.format("absent*", "config.json"),
        ["absent*", "keras-bert data"],
        errors.MissingFileError,
    ),
    "no vocabulary": Case(
        _DATA.format("corpus.txt", "absent.txt"),
        ["absent.txt"],
        errors.MissingFileError,
    ),
    "no corpus": Case(
        _DATA.format("absent.txt", "vocab.txt"),
        ["absent.txt"],
        errors.MissingFileError,
    ),
    # Damaged checkpoints
    "google cut": Case(
        "convert google out --to huggingface",
        ["damaged"],
        errors.CheckpointError,
        _cut(f"google/{DATA}"),
    ),
    "safetensors cut": Case(
        _CONVERT,
        ["damaged"],
        errors.CheckpointError,
        _cut("huggingface/model.safetensors"),
    ),
    "misshapen": Case(
        _CONVERT, ["(15, 14)", "(15, 15)"], errors.CheckpointError, _misshapen
    ),
    "not JSON": Case(
        _CONVERT,
        ["JSON"],
        errors.ConfigError,
        _write("huggingface/config.json", "{"),
    ),
    # Vocabulary and ids
    "vocabulary larger than the model at export": Case(
        "export --model classifier --output out",
        ["at most vocab_size=37", "130"],
        errors.InputError,
        _more_tokens("classifier/vocab.txt"),
    ),
    "vocabulary larger than the model in fine-tuning": Case(
        _FINETUNE.format("google", "task.tsv"),
        ["at most 37 tokens", "130"],
        errors.InputError,
        _more_tokens("google/vocab.txt"),
    ),
    "no special tokens": Case(
        _DATA.format("corpus.txt", "vocab.txt"),
        ["[CLS]"],
        errors.InputError,
        _write("vocab.txt", "a\nb\nc\n"),
    ),
    # Data
    "empty corpus for a vocabulary": Case(
        "vocab corpus.txt --output out",
        ["text to learn a vocabulary from"],
        errors.InputError,
        _write("corpus.txt", "\n\n"),
    ),
    "empty corpus for records": Case(
        _DATA.format("corpus.txt", "vocab.txt"),
        ["document"],
        errors.InputError,
        _write("corpus.txt", "\n\n"),
    ),
    "empty task": Case(
        _FINETUNE.format("google", "task.tsv"),
        ["at least one example"],
        errors.InputError,
        _write("task.tsv", "text\tlabel\n"),
    ),
    "no such column": Case(
        f"{_FINETUNE.format('google', 'task.tsv')} --text sentence",
        ["'sentence'", "text, label"],
        errors.InputError,
    ),
    "a label that is new": Case(
        f"{_FINETUNE.format('google', 'task.tsv')} --dev dev.tsv",
        ["no, yes", "'maybe'"],
        errors.InputError,
        _write("dev.tsv", "text\tlabel\na\tmaybe\n"),
    ),
    "no records at all": Case(
        _PRETRAIN.format("corpus.txt", "config.json"),
        ["corpus.txt"],
        errors.InputError,
    ),
    # Names
    "unknown head": Case(
        "export --model classifier --output out --head BertForClassification",
        ["'BertForClassification'", "Did you mean"],
        errors.UnknownNameError,
    ),
    "unknown preset": Case(
        _PRETRAIN.format("absent", "tny"),
        ["'tny'", "Did you mean 'tiny'"],
        errors.UnknownNameError,
    ),
    "unknown kind of file": Case(
        _FINETUNE.format("classifier", "corpus.txt"),
        ["'.txt'", ".tsv"],
        errors.UnknownNameError,
    ),
    "a head that is not there": Case(
        "export --model google --output out --head BertForQuestionAnswering",
        ["qa for BertForQuestionAnswering", "Train the head"],
        errors.InputError,
    ),
    # Outputs that are there
    "existing directory": Case(
        _CONVERT, ["out", "overwrite"], errors.ExistingOutputError, _write("out/x", "x")
    ),
    "existing vocabulary": Case(
        "vocab corpus.txt --output out.txt",
        ["out.txt", "overwrite"],
        errors.ExistingOutputError,
        _write("out.txt", "x"),
    ),
    "existing records": Case(
        _DATA.format("corpus.txt", "vocab.txt"),
        ["records", "overwrite"],
        errors.ExistingOutputError,
        _write("records", "x"),
    ),
    "existing predictions": Case(
        "predict --model classifier a --output out.jsonl",
        ["out.jsonl", "overwrite"],
        errors.ExistingOutputError,
        _write("out.jsonl", "x"),
    ),
    # Numbers
    "warm-up longer than the run": Case(
        f"{_PRETRAIN.format('absent', 'config.json')} --warmup-steps 5",
        ["warmup_steps", "steps=2", "5"],
        errors.ConfigError,
    ),
    "no steps": Case(
        f"{_FINETUNE.format('google', 'task.tsv')} --epochs 0",
        ["steps", "0"],
        errors.ConfigError,
    ),
}


def _call(arguments: Sequence[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    return status, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_nothing_written(name, work):
    case = CASES[name]
    case.spoil(work)
    before = contents_of(work)
    status, out, err = _call(case.command.split())
    assert (status, out) == (2, "")
    line = err.splitlines()[-1]  # progress may stand before it
    assert line.startswith("Error: ")
    assert "Traceback" not in err
    for word in case.words:
        assert word in line
    assert contents_of(work) == before
    assert {p.name for p in work.iterdir()} == {Path(p).parts[0] for p in before}

    with pytest.raises(errors.KerasBertError) as raised:
        main([*case.command.split(), "--debug"])
    assert type(raised.value) is case.error
    assert line == f"Error: {raised.value}"


@pytest.mark.parametrize("size", ["0", "-5", "many"])
def test_a_batch_of_nothing_is_refused(size, work, capsys):
    command = f"{_FINETUNE.format('google', 'task.tsv')} --batch-size {size}"
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 2
    assert "--batch-size: expected 1 or more" in capsys.readouterr().err
    assert not (work / "out").exists()


# === Without a command ===


def test_ids_out_of_range_are_named(good):
    model = keras_bert.BertForSequenceClassification.from_pretrained(
        good / "classifier"
    )
    place = "0 to 36.*Received: 37 in row 0, column 1"
    with pytest.raises(errors.InputError, match=place):
        model(np.array([[5, 37]]))


def test_an_unknown_format_suggests(good, tmp_path):
    model = keras_bert.BertForSequenceClassification.from_pretrained(
        good / "classifier"
    )
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'huggingface'"):
        model.save_pretrained(tmp_path / "out", format="hugingface")
    assert not list(tmp_path.iterdir())


def test_save_replaces_nothing_unasked(good, tmp_path):
    model = keras_bert.BertForSequenceClassification.from_pretrained(
        good / "classifier"
    )
    model.save_pretrained(tmp_path / "out")
    before = contents_of(tmp_path)
    with pytest.raises(errors.ExistingOutputError, match="overwrite=True"):
        model.save_pretrained(tmp_path / "out", format="google")
    assert contents_of(tmp_path) == before


def test_every_error_is_one_of_the_family():
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ]
    assert all(issubclass(kind, errors.KerasBertError) for kind in kinds)
    assert str(errors.UnknownNameError("a 'b'")) == "a 'b'"


@pytest.mark.parametrize(
    "command",
    [
        "vocab a.txt --output ''",
        "predict a --model m --output ''",
        "convert m '' --to keras",
        "export --model m --output ''",
    ],
)
def test_an_output_without_a_name_is_refused(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call(*shlex.split(command))
    assert done.status == 2
    assert "Expected a path as output. Received: an empty one." in done.err
    assert not [*tmp_path.iterdir()]
