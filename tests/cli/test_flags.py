"""The flags of all commands: one style, and the spellings of Google's scripts."""

import argparse
import re

import pytest

from keras_bert.cli import COMMANDS, convert, parser_of
from keras_bert.cli.parsing import Parser, integers, positive

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


def test_numbers():
    parser = Parser()
    parser.add_argument("--size", type=positive)
    parser.add_argument("--layers", type=integers)
    args = parser.parse_args(["--size=3", "--layers=-1,2"])
    assert (args.size, args.layers) == (3, [-1, 2])
    with pytest.raises(SystemExit):
        parser.parse_args(["--size=0"])
