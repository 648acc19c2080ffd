"""How all commands read their arguments: one style of flags, and shared types."""

import argparse
import math
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

_BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "1"), True),
    **dict.fromkeys(("false", "f", "no", "0"), False),
}
INTEGERS = re.compile(r"-?[0-9]{1,9}(,-?[0-9]{1,9})*")
LARGEST = 2**31 - 1  # of 32 bits, as lengths of arrays and counts of steps are
# The default of a flag that a recipe sets too: the flag is absent unless given.
FROM_RECIPE = {"default": argparse.SUPPRESS}


class NamedNumbers(argparse.Action):
    """Reads `NAME=VALUE …` as a dict, or the one word "balanced"."""

    def __call__(
        self, parser: Any, namespace: Any, values: Any, option_string: Any = None
    ) -> None:
        found = "balanced" if values == ["balanced"] else dict(map(self._pair, values))
        setattr(namespace, self.dest, found)

    def _pair(self, text: str) -> tuple[str, float]:
        name, _, value = text.rpartition("=")
        try:
            return name, finite(value if name else "")
        except argparse.ArgumentTypeError:
            wrong = f"expected NAME=NUMBER …, or balanced alone, received {text[:40]!r}"
            raise argparse.ArgumentError(self, wrong) from None


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the default of an argument that has one, and N or X for numbers."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        if default is None or default is False or default in ([], ()):
            return action.help
        return super()._get_help_string(action)

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        metavars = {int: "N", positive: "N", natural: "N", port: "N", float: "X"}
        default = super()._get_default_metavar_for_optional(action)
        return metavars.get(action.type, default)


class Parser(argparse.ArgumentParser):
    """A parser of `--kebab-case` flags that also understands those of Google's scripts.

    Every flag may be written in `--snake_case`, and a flag with a `--no-` form in the
    other spellings of absl: `--flag=False` and `--noflag`.

    Example:
        >>> parser = Parser()
        >>> for name in ("--do-lower-case", "--do-whole-word-mask"):
        ...     _ = parser.add_argument(name, action=argparse.BooleanOptionalAction)
        >>> parser.parse_args(["--do_lower_case=False", "--nodo_whole_word_mask"])
        Namespace(do_lower_case=False, do_whole_word_mask=False)
    """

    def __init__(self, **options):
        super().__init__(formatter_class=HelpFormatter, **options)
        # No number of any command is NaN, infinite, or too long for a library.
        self.register("type", int, integer)
        self.register("type", float, finite)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace=None):
        args = list(sys.argv[1:] if args is None else args)
        end = args.index("--") if "--" in args else len(args)
        args = [*self._canonical(args[:end]), *args[end:]]
        return super().parse_known_args(args, namespace)

    def _canonical(self, args: Sequence[str]) -> Iterator[str]:
        """Yields the arguments with flags as they were declared."""
        args = list(args)
        while args:
            flag, equals, value = args.pop(0).partition("=")
            flag = self._declared(flag)
            if self._takes_integers(flag) and not equals:
                numbers = ",".join(_leading_integers(args))
                yield f"{flag}={numbers}" if numbers else flag
                continue
            if not self._is_switch(flag):
                yield f"{flag}{equals}{value}"
                continue
            if not equals and args[:1] in (["True"], ["False"]):
                value = args.pop(0)
            yield flag if not value or self._boolean(flag, value) else _negated(flag)

    def _declared(self, flag: str) -> str:
        """Returns a flag in the spelling of its declaration, if it is known."""
        kebab = flag.replace("_", "-")
        for spelling in (kebab, kebab.replace("--no", "--no-", 1)):
            if flag.startswith("--") and spelling in self._option_string_actions:
                return spelling
        return flag

    def _is_switch(self, flag: str) -> bool:
        action = self._option_string_actions.get(flag)
        return isinstance(action, argparse.BooleanOptionalAction)

    def _takes_integers(self, flag: str) -> bool:
        action = self._option_string_actions.get(flag)
        return action is not None and action.type is integers

    def _boolean(self, flag: str, value: str) -> bool:
        if value.lower() not in _BOOLEANS:
            self.error(f"argument {flag}: expected True or False, received {value!r}")
        return _BOOLEANS[value.lower()]


def _leading_integers(args: list[str]) -> Iterator[str]:
    """Takes the numbers at the front: `--layers -1 -2` is `--layers=-1,-2`."""
    while args and INTEGERS.fullmatch(args[0]):
        yield args.pop(0)


def _negated(flag: str) -> str:
    positive = flag.replace("--no-", "--", 1)
    return flag.replace("--", "--no-", 1) if flag == positive else positive


def add_switch(
    parser: argparse.ArgumentParser, name: str, default: bool | None, text: str
) -> None:
    """Adds a flag `--name` with its opposite `--no-name`.

    Args:
        parser: of the command.
        name: of the flag, with hyphens or underscores.
        default: value without either; None lets the command decide.
        text: the help.
    """
    flag, action = f"--{name.replace('_', '-')}", argparse.BooleanOptionalAction
    parser.add_argument(flag, action=action, default=default, help=text)


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments on how a checkpoint is read; see `reading_options`."""
    parser.add_argument(
        "--head",
        help="model class, if it does not follow from the files, such as "
        "token_classification",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="config file, if not next to the weights"
    )
    parser.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="NAME",
        help="tensor or component to leave out; repeatable; `optimizer` means all of "
        "its state",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse tensors that belong to no component, instead of leaving them out",
    )


def reading_options(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the options of `keras_bert.checkpoints.formats.read`."""
    return {
        "head": args.head,
        "config_file": args.config,
        "drop": args.drop,
        "strict": args.strict,
    }


def positive(text: str) -> int:
    """Reads a number of 1 or more."""
    return _whole(text, 1, LARGEST)


def natural(text: str) -> int:
    """Reads a number of 0 or more."""
    return _whole(text, 0, LARGEST)


def port(text: str) -> int:
    """Reads the number of a port; 0 is any free one."""
    return _whole(text, 0, 65535)


def integer(text: str) -> int:
    """Reads a number of any sign, of 64 bits."""
    return _whole(text, -(2**63), 2**63 - 1)


def _whole(text: str, least: int, most: int) -> int:
    if not re.fullmatch("[+-]?[0-9]{1,19}", text) or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(
            f"expected {least} or more, at most {most}, received {text[:20]!r}"
        )
    return int(text)


def finite(text: str) -> float:
    """Reads a number that is neither NaN nor infinite."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"expected a number, received {text[:20]!r}")
    return number


def integers(text: str) -> list[int]:
    """Reads integers separated by commas."""
    if not INTEGERS.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"expected whole numbers, such as -1,-2, received {text[:20]!r}"
        )
    return [int(number) for number in text.split(",")]
