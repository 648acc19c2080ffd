"""What the commands that train share about recipes: their arguments and files.

Settings override each other in this order, last wins: the recipe, the file of
`--config`, `--set`, flags. The result is written into the run's directory, in the form
that `--config` reads.
"""

import argparse
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_bert.atomic_files import new_file, settle_all
from keras_bert.errors import (
    ConfigError,
    ExistingOutputError,
    LockedOutputError,
    MissingExtraError,
)
from keras_bert.strings import each_key_once

USED = "recipe.json"


def add_recipe_arguments(
    parser: argparse.ArgumentParser, listing: Callable[[], str]
) -> None:
    """Adds `--recipe`, `--list-recipes`, `--config`, `--set` and `--dry-run`.

    Args:
        parser: of the command.
        listing: returns the text that `--list-recipes` prints.
    """

    class List(argparse.Action):
        def __call__(self, *_: Any) -> None:
            print(listing())
            parser.exit()

    add = parser.add_argument
    add("--recipe", metavar="NAME", help="start from the settings of a published model")
    add("--list-recipes", action=List, nargs=0, help="list the recipes and exit")
    add("--config", metavar="FILE", help="settings to change, in YAML or JSON")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting to change, such as phase-2.batch_size=64; repeatable",
    )
    add("--dry-run", action="store_true", help="print the plan and exit")


def changes_of(args: argparse.Namespace, flags: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the settings that were given, by dotted name; the last wins.

    Args:
        args: of a parser with `add_recipe_arguments`; `recipe` is set if the file names
            one.
        flags: names of flags that are settings too, absent unless given.
    """
    file = read_settings(args.config) if args.config else {}
    named = file.pop("recipe", None)
    args.recipe = args.recipe or named
    given = vars(args)
    return [
        file,
        dict(map(_pair, args.set)),
        {name: given[name] for name in flags if name in given},
    ]


def listing(recipes: Mapping[str, Any]) -> str:
    """Returns names and summaries, one per line."""
    width = max(map(len, recipes))
    return "\n".join(f"{name:<{width}}  {r.summary}" for name, r in recipes.items())


def read_settings(path: str) -> dict[str, Any]:
    """Reads a mapping from a `.json` or a YAML file.

    Raises:
        MissingExtraError: YAML cannot be read without PyYAML.
        ConfigError: the file does not hold a mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = _from_json(text) if path.endswith(".json") else _from_yaml(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"Expected settings in {path}. Received: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"Expected names and values in {path}, such as `steps: 1000`. "
            f"Received: {values!r}."
        )
    return {str(name): value for name, value in values.items()}


def _from_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=each_key_once)


def _from_yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError(
            "Expected PyYAML to read YAML. Install it with `pip install pyyaml`, or "
            "write the settings as .json."
        ) from error

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict:
            each_key_once([(str(key.value), value) for key, value in node.value])
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error).replace("\n", " ")) from error


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ConfigError(f"Expected --set NAME=VALUE. Received: {text!r}.")
    try:
        return name, _from_json(value)
    except ValueError:
        return name, {"True": True, "False": False, "None": None}.get(value, value)


def write_settings(folder: Path, name: str | None, values: Mapping[str, Any]) -> None:
    """Writes the settings of a new run, for `--config`, whole or not at all.

    Args:
        folder: of the run; if it holds a run, nothing changes.
        name: of the recipe.
        values: all settings.
    """
    settle_all(folder)
    if folder.exists() and any(p.name[0] != "." for p in folder.iterdir()):
        return
    text = json.dumps({"recipe": name, **values} if name else values, indent=2)
    # Of several processes of a run, which all have the same settings, one writes them.
    with (
        contextlib.suppress(LockedOutputError, ExistingOutputError),
        new_file(folder / USED) as partial,
    ):
        partial.write_text(text + "\n", encoding="utf-8")
