"""The flags of all commands: one style, and the spellings of Google's scripts."""

import argparse
import re

import pytest

from keras_bert.cli import COMMANDS, convert, parser_of
from keras_bert.cli.parsing import (
    Parser,
    integer,
    integers,
    natural,
    port,
    positive,
)

PARSERS = {
    **{command: parser_of(command) for command in COMMANDS},
    "converters/*.py": convert._parser("tf", "pt"),
}
KEBAB = re.compile(r"--[a-z0-9]+(-[a-z0-9]+)*|-h")
# Flags of `create_pretraining_data.py` of google-research/bert, with their defaults.
GOOGLE = {
    "input_file": None,
    "output_file": None,
    "vocab_file": "v",
    "do_lower_case": True,
    "do_whole_word_mask": False,
    "max_seq_length": 128,
    "max_predictions_per_seq": 20,
    "random_seed": 12345,
    "dupe_factor": 10,
    "masked_lm_prob": 0.15,
    "short_seq_prob": 0.1,
}


def _flags(parser: argparse.ArgumentParser) -> set[str]:
    return {flag for action in parser._actions for flag in action.option_strings}


@pytest.mark.parametrize("command", PARSERS)
def test_flags_are_in_kebab_case(command):
    flags = _flags(PARSERS[command])
    assert len(flags) >= 3
    assert [flag for flag in flags if not KEBAB.fullmatch(flag)] == []


@pytest.mark.parametrize("command", PARSERS)
def test_every_argument_has_a_help(command):
    for action in PARSERS[command]._actions:
        assert action.help, action.dest
        assert not action.help.endswith("."), action.dest


@pytest.mark.parametrize("command", PARSERS)
def test_every_flag_may_be_written_with_underscores(command):
    parser = PARSERS[command]
    for flag in _flags(parser):
        snake = "--" + flag.removeprefix("--").replace("-", "_")
        assert parser._declared(snake) == flag or not flag.startswith("--")


@pytest.mark.parametrize("flag", GOOGLE)
def test_googles_flags_and_defaults(flag):
    parser = PARSERS["data"]
    given = [] if flag == "vocab_file" else [f"--{flag}={GOOGLE[flag]}"]
    args = parser.parse_args(["--vocab_file=v", *given])
    assert str(getattr(args, flag)) == str(GOOGLE[flag])


@pytest.mark.parametrize(
    ("spelling", "value"),
    [
        (["--do-lower-case"], True),
        (["--do_lower_case"], True),
        (["--do_lower_case=True"], True),
        (["--do_lower_case=false"], False),
        (["--do_lower_case", "False"], False),
        (["--nodo_lower_case"], False),
        (["--no-do-lower-case"], False),
        (["--no_do_lower_case"], False),
        (["--no-do-lower-case=False"], True),
    ],
)
@pytest.mark.parametrize("command", ["data", "vocab"])
def test_spellings_of_a_switch(command, spelling, value):
    required = {"data": ["--vocab-file", "v"], "vocab": ["--output", "o"]}[command]
    args = PARSERS[command].parse_args([*required, *spelling])
    assert args.do_lower_case is value


def test_a_switch_takes_no_other_value(capsys):
    with pytest.raises(SystemExit):
        PARSERS["vocab"].parse_args(["--output=o", "--do_lower_case=perhaps"])
    assert "expected True or False, received 'perhaps'" in capsys.readouterr().err


def test_values_and_positional_arguments_stay_as_they_are():
    parser = PARSERS["vocab"]
    args = parser.parse_args(
        ["--output", "c_d", "--do-lower-case", "--", "a_b.txt", "--vocab_size"]
    )
    assert args.input == ["a_b.txt", "--vocab_size"]
    assert args.output == "c_d"
    args = PARSERS["data"].parse_args(["--vocab-file=a_b", "--beam_options=--x_y=1"])
    assert (args.vocab_file, args.beam_options) == ("a_b", "--x_y=1")


def test_unknown_flags_are_named_as_they_were_given(capsys):
    with pytest.raises(SystemExit):
        PARSERS["vocab"].parse_args(["--output=o", "--vocab_sise=3"])
    assert "--vocab_sise=3" in capsys.readouterr().err


LONG = "9" * 5000


@pytest.mark.parametrize("kind", [positive, natural, port, integer, int])
@pytest.mark.parametrize(
    "text", ["", "x", "1.5", "nan", "1_000", "１", " 1", LONG, f"-{LONG}", "1e3"]
)
def test_what_is_no_whole_number(kind, text, capsys):
    parser = Parser()
    parser.add_argument("--size", type=kind)
    with pytest.raises(SystemExit):
        parser.parse_args([f"--size={text}"])
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"received {text[:20]!r}" in message and len(message) < 150


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        (positive, 1, 2**31 - 1),
        (natural, 0, 2**31 - 1),
        (port, 0, 65535),
        (int, -(2**63), 2**63 - 1),
    ],
)
def test_whole_numbers(kind, least, most):
    parser = Parser()
    parser.add_argument_group("a group").add_argument("--size", type=kind)
    for number in (least, most):
        assert parser.parse_args([f"--size={number}"]).size == number
    for number in (least - 1, most + 1):
        with pytest.raises(SystemExit):
            parser.parse_args([f"--size={number}"])


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1e999", "x", ""])
def test_no_number_is_infinite_or_nan(text, capsys):
    parser = Parser()
    parser.add_argument("--rate", type=float)
    assert parser.parse_args(["--rate=-1e-3"]).rate == -1e-3
    with pytest.raises(SystemExit):
        parser.parse_args([f"--rate={text}"])
    assert f"expected a number, received {text!r}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given",
    [
        *(["--layers=-1,2"], ["--layers", "-1,2"], ["--layers", "-1", "2"]),
        *(["--layers", "-1", "2", "--"], ["a text", "--layers", "-1", "2"]),
    ],
)
def test_spellings_of_several_integers(given):
    parser = Parser()
    parser.add_argument("text", nargs="?")
    parser.add_argument("--layers", type=integers)
    text = [] if "a text" in given else ["a text"]
    args = parser.parse_args([*given, *text])
    assert (args.layers, args.text) == ([-1, 2], "a text")


@pytest.mark.parametrize("given", [["--layers"], ["--layers=a"], ["--layers", "1,"]])
def test_what_is_no_list_of_integers(given, capsys):
    parser = Parser()
    parser.add_argument("--layers", type=integers)
    with pytest.raises(SystemExit):
        parser.parse_args(given)
    assert "argument --layers: expected" in capsys.readouterr().err


# Numbers of things, of which none is no use.
COUNTS = {
    "predict": ["--batch-size", "--max-length", "--doc-stride", "--max-answer-length"],
    "evaluate": ["--batch-size", "--max-length"],
    "features": ["--batch-size", "--max-length"],
    "finetune": ["--batch-size", "--max-length"],
    "bench": ["--batch-size", "--rows", "--lengths", "--threads", "--max-length"],
    "vocab": ["--vocab-size", "--limit-alphabet"],
    "data": ["--workers"],
    "pretrain": ["--batch-size", "--heldout-batches"],
}


@pytest.mark.parametrize("command", COUNTS)
def test_counts_are_positive(command, capsys):
    for flag in COUNTS[command]:
        for text in ("0", "-1"):
            with pytest.raises(SystemExit):
                PARSERS[command].parse_args([f"{flag}={text}"])
            assert f"argument {flag}: expected 1 or more" in capsys.readouterr().err
