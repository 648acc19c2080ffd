"""Runs the blocks of a page in order, as a reader would, in one directory."""

import contextlib
import io
import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from keras_bert.cli import main
from keras_bert.serving.server import Server
from tests.cli.calling import call
from tests.paths import ROOT

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?"
    r"^```(?P<language>bash|python)\n(?P<text>.*?)^```$"
    r"(?:\n\n^```(?:json|text)?\n(?P<shown>.*?)^```$)?",
    re.S | re.M,
)
_FRACTION = r"-?\d[\d,]*\.\d+(e[-+]\d+)?"


class Block(NamedTuple):
    """Code that a page shows.

    Attributes:
        place: page and line.
        language: "bash" or "python".
        text: the code.
        reason: why it is not run; None where it is.
        shown: the output that the page shows right after it, if any.
    """

    place: str
    language: str
    text: str
    reason: str | None
    shown: str | None


def blocks_of(page: str) -> list[Block]:
    """Returns the shell and Python blocks of a page, in order."""
    text = (ROOT / page).read_text("utf-8")
    return [
        Block(
            f"{page}:{text.count(chr(10), 0, match.start('language')) + 1}",
            *match.group("language", "text", "reason", "shown"),
        )
        for match in _BLOCK.finditer(text)
    ]


class Servers:
    """Runs `keras-bert serve` in a thread, one at a time.

    Args:
        monkeypatch: of pytest; servers wait until `stop` is called.
    """

    def __init__(self, monkeypatch: Any):
        self._thread: threading.Thread | None = None
        self._ready, self._stopped = threading.Event(), threading.Event()
        monkeypatch.setattr(Server, "wait", self._wait)

    def start(self, arguments: list[str]) -> None:
        self.stop()
        self._thread = threading.Thread(target=main, args=(arguments,), daemon=True)
        self._thread.start()
        assert self._ready.wait(60), arguments

    def stop(self) -> None:
        if self._thread:
            self._stopped.set()
            self._thread.join()
        self._thread = None
        self._ready.clear()
        self._stopped.clear()

    def _wait(self, *_: Any) -> None:
        self._ready.set()
        self._stopped.wait()


class Reader:
    """Someone who tries a page, in the current directory.

    `keras-bert` runs in this process; everything else is bash's.

    Args:
        smaller: what is replaced in the code, so that it is quick on small files.
        names: what Python blocks take as given.
        servers: run `keras-bert serve`.
    """

    def __init__(
        self, smaller: Mapping[str, str], names: dict[str, Any], servers: Servers
    ):
        self._smaller, self._names, self._servers = smaller, names, servers

    def run(self, block: Block) -> None:
        """Runs a block, and compares what it prints with what the page shows."""
        text = block.text
        for one, other in self._smaller.items():
            text = text.replace(one, other)
        run = {"python": self._python, "bash": self._bash}[block.language]
        printed = run(block.place, text)
        if block.shown:
            assert_shown(block.shown, printed, block.place)

    def _python(self, place: str, text: str) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(text, place, "exec"), self._names)
        return out.getvalue()

    def _bash(self, place: str, text: str) -> str:
        printed = ""
        for command in commands(text):
            if not command.startswith("keras-bert "):
                printed = bash(command)
                continue
            arguments = words(command)[1:]
            if arguments[0] == "serve":
                self._servers.start(arguments)
                continue
            result = call(*arguments)
            assert result.status == 0, (place, command, result.err)
            printed = result.out
        assert '"error"' not in printed, (place, printed)
        return printed


def bash(command: str) -> str:
    """Runs a command and returns what it prints."""
    done = subprocess.run(
        ["bash", "-ec", command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def commands(text: str) -> Iterator[str]:
    """Splits a script into its commands, each of one line or more."""
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        complete = subprocess.run(["bash", "-nc", pending], capture_output=True)
        if not complete.returncode and not pending.endswith("\\\n"):
            yield pending
            pending = ""
    assert not pending, pending


def words(command: str) -> list[str]:
    """Returns the words of a simple command, as bash expands them."""
    return bash(f"printf '%s\\0' {command}").split("\0")[:-1]


def assert_shown(shown: str, printed: str, place: str) -> None:
    """Asserts that a page shows what was printed, but for fractions and `…`."""
    if shown.startswith("{"):
        assert _form(json.loads(printed)) == _form(json.loads(shown)), place
        return
    pattern = re.escape(re.sub(_FRACTION, "#", shown.strip()))
    pattern = pattern.replace(re.escape("#"), _FRACTION).replace("…", ".*")
    assert re.search(pattern, printed), (place, printed)


def _form(value: Any) -> Any:
    """Returns a JSON value with its fractions left out."""
    if isinstance(value, dict):
        return {key: _form(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_form(item) for item in value]
    return float if isinstance(value, float) else value
