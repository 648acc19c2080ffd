"""The flags of Google's scripts: their names, defaults and spellings."""

import argparse
from collections.abc import Collection, Mapping
from typing import Any

from keras_bert.cli.parsing import (
    Parser,
    add_switch,
    finite,
    integers,
    natural,
    positive,
)
from keras_bert.errors import ConfigError

Flags = Mapping[str, tuple[Any, str]]  # name: default, help

MODEL: Flags = {
    "bert_config_file": (None, "the config of the model, bert_config.json"),
    "vocab_file": (None, "the vocabulary of the model, vocab.txt"),
    "init_checkpoint": (None, "prefix of a checkpoint, or one of any format"),
}
CASE: Flags = {"do_lower_case": (True, "lower-case the text, for uncased models")}
SEED: Flags = {
    "random_seed": (
        12345,
        "seed for new weights, shuffling and dropout; not in Google's",
    ),
}
TRAINING: Flags = {
    "train_batch_size": (32, "rows per step"),
    "learning_rate": (5e-5, "peak learning rate"),
    "save_checkpoints_steps": (1000, "steps between checkpoints"),
}
FINE_TUNING: Flags = {
    "num_train_epochs": (3.0, "passes over the examples"),
    "warmup_proportion": (0.1, "fraction of the steps that warm up"),
}
# These say where TensorFlow 1 ran; here they can only be off.
ELSEWHERE: Flags = {
    "use_tpu": (False, "only false: runs on the devices of this computer"),
    "tpu_name": (None, "only empty"),
    "tpu_zone": (None, "only empty"),
    "gcp_project": (None, "only empty"),
    "master": (None, "only empty"),
}
# These changed how fast TensorFlow 1 computed the same; any value is accepted.
WITHOUT_EFFECT: Flags = {
    "num_tpu_cores": (8, "without effect"),
    "iterations_per_loop": (1000, "without effect"),
}
DEVICES: Flags = {**ELSEWHERE, **WITHOUT_EFFECT}

_NOT_NEGATIVE = {"num_warmup_steps", "save_checkpoints_steps", "num_tpu_cores"}


def parser_of(
    script: str, text: str, flags: Flags, required: Collection[str]
) -> Parser:
    """Returns the parser of a script.

    Args:
        script: its file.
        text: what it does.
        flags: default and help by name. A flag has the type of its default; one without
            is a string.
        required: flags without which the script does not start.
    """
    parser = Parser(
        prog=script,
        description=f"{text[0].upper()}{text[1:]}, by the flags of Google's {script}.",
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    for name, (default, help_text) in flags.items():
        if isinstance(default, bool):
            add_switch(parser, name, default, help_text)
            continue
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            default=default,
            type=_type_of(name, default),
            required=name in required,
            help=help_text,
        )
    return parser


def _type_of(name: str, default: Any) -> Any:
    if isinstance(default, list):
        return integers
    if isinstance(default, float):
        return finite
    if isinstance(default, int):
        return natural if name in _NOT_NEGATIVE else positive
    return str


def check_devices(args: argparse.Namespace) -> None:
    """Raises an error if the script is to run elsewhere.

    Raises:
        ConfigError: naming the flag.
    """
    for name in ELSEWHERE:
        if value := getattr(args, name, None):
            raise ConfigError(
                f"Expected no --{name}: this script runs on the devices of this "
                f"computer. Received: {value!r}. Leave it out; for TPUs and several "
                "devices, use `keras-bert pretrain --distribution` or "
                "keras_bert.training.loop."
            )


def require_one(args: argparse.Namespace, *names: str) -> None:
    """Raises an error if a script has nothing to do.

    Raises:
        ConfigError: all of the switches are off.
    """
    if not any(getattr(args, name) for name in names):
        flags = [f"--{name}=true" for name in names]
        raise ConfigError(
            f"Expected {', '.join(flags[:-1])} or {flags[-1]}. Received: none of them."
        )


def require_file(args: argparse.Namespace, switch: str, name: str) -> str:
    """Returns the value of a flag that a switch needs.

    Raises:
        ConfigError: it is not given.
    """
    value: str | None = getattr(args, name)
    if not value:
        raise ConfigError(f"Expected --{name} with --{switch}. Received: none.")
    return value
