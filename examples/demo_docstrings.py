"""Extracts English sentences from the docstrings of Python files, without imports.

A source file is parsed with `ast`; its docstrings, and the strings passed to
`add_newdoc` and `add_docstr`, with which numpy and torch document functions in C, are
turned into plain sentences.
"""

import ast
import inspect
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTING_CALLS = {"add_newdoc", "add_docstr"}
TOPICS = "pydoc_data/topics.py"  # the language reference, as one dict of texts
MIN_WORDS = 4
MIN_LETTERS = 0.72  # fraction of letters and spaces; tables and formulas have less


class Docstring(NamedTuple):
    """One piece of documentation.

    Attributes:
        document: its module or topic, by which the corpus is split.
        sentences: its sentences in order, at least one.
    """

    document: str
    sentences: list[str]


# === Source files to texts ===


def read_docstrings(path: Path, module: str) -> list[Docstring]:
    """Returns the documentation in a Python file, as sentences.

    Args:
        path: the file; a file that cannot be parsed yields nothing.
        module: its name in the corpus, for instance `"numpy/linalg/linalg.py"`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in their strings
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, OSError):
        return []
    pieces = topics_of(tree, module) if module.endswith(TOPICS) else texts_of(tree)
    found = ((name or module, sentences_of(text)) for name, text in pieces)
    return [Docstring(name, sentences) for name, sentences in found if sentences]


def texts_of(tree: ast.AST) -> Iterator[tuple[None, str]]:
    """Yields the documentation strings of a parsed module."""
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED):
            if text := ast.get_docstring(node, clean=False):
                yield None, text
        elif isinstance(node, ast.Call) and _called(node) in DOCUMENTING_CALLS:
            yield from ((None, text) for text in _strings(node))


def topics_of(tree: ast.AST, module: str) -> Iterator[tuple[str, str]]:
    """Yields name and text of the topics, each a separate document."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                yield f"{module}#{ast.literal_eval(key)}", ast.literal_eval(value)


def _called(call: ast.Call) -> str:
    return getattr(call.func, "id", None) or getattr(call.func, "attr", "")


def _strings(call: ast.Call) -> Iterator[str]:
    # `add_newdoc("numpy", "ndarray", ("sort", "text"))` nests the text; names have too
    # few words to be kept. Of a formatted text only the constants are used.
    for argument in call.args:
        for node in ast.walk(argument):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


# === Docstrings to sentences ===

_LITERAL = re.compile(r"::\s*$")
_DIRECTIVE = re.compile(r"^\s*\.\. (?:\w[\w-]*::|\[|_|\|)")
_UNIT_START = re.compile(
    r"^(?:[-*+•]\s|\d+[.)]\s|:\w+[^:`]*:(?!`)"  # bullets, numbers, :param x:
    r"|\*{0,2}\w[\w., ]{0,40}(?:\s?\([^)]*\))?\s?:(?:\s|$))"  # x (int): or x : int
)
_FIELD = re.compile(r"^:(?:param|type|raises|returns?|rtype|arg|keyword)\b([^:]*):\s*")
_BULLET = re.compile(r"^(?:[-*+•]|\d+[.)])\s+")
_RULE = re.compile(r"^\s*[-=~^*#_+|.`'\"]{3,}\s*$")

_MARKUP = [
    (re.compile(r"\[([^\]]+)\]\([^)\s]*\)"), r"\1"),  # [text](url)
    (re.compile(r":[a-zA-Z:]+:`~?([^`<]*?)(?:\s*<[^`>]*>)?`"), r"\1"),  # :class:`x`
    (re.compile(r"`([^`<]+?)\s*<[^`>]*>`_{0,2}"), r"\1"),  # `text <url>`_
    (re.compile(r"<?https?://\S+"), ""),
    (re.compile(r"</?[a-zA-Z][^>]{0,40}>"), ""),
    (re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*"), r"\1"),
    (re.compile(r"\{\{?\w+\}?\}|@\w+(?:\(\w+\))?"), ""),  # placeholders, @end_note
    (re.compile(r"(?<!\w)\*(\w[^*]*?)\*(?!\w)"), r"\1"),
    (re.compile(r"`+(?:__?(?!\w))?|\|(?=\w)|(?<=\w)\|"), ""),
    (re.compile(r"[\[(]\s*\d*[\])]_?(?=[\s.,;:]|$)"), ""),  # citations, emptied links
    (re.compile(r"\s+"), " "),
    (re.compile(r"\s+([.,;:!?])(?=\s|$)"), r"\1"),
]

_ABBREVIATIONS = frozenset(
    "e.g i.e etc vs cf al fig figs eq eqs sec no nos vol pp ch ref refs approx resp "
    "dr mr mrs ms prof st jr sr inc ltd co dept est incl excl max min a.k.a viz".split()
)
_SIGNATURE = re.compile(r"^[\w.]+\(.*\)\s*(?:->.*|--)?$")
_BREAK = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9])")


def sentences_of(docstring: str) -> list[str]:
    """Returns the English sentences of a docstring, without markup and code.

    Example:
        >>> sentences_of("Adds two arrays, e.g. images.  The result is new.")
        ['Adds two arrays, e.g. images.', 'The result is new.']
    """
    found = []
    for unit in _units(_prose_lines(inspect.cleandoc(docstring))):
        found += split_sentences(_plain(unit))
    return [sentence for sentence in found if is_english(sentence)]


def split_sentences(text: str) -> list[str]:
    """Splits a paragraph at periods, exclamation and question marks.

    A stop after a known abbreviation or a single letter does not end a sentence.
    """
    sentences, start = [], 0
    for match in _BREAK.finditer(text):
        word = text[start : match.start()].rsplit(None, 1)[-1:]
        stem = "".join(word).lstrip("\"'([").rstrip(".").lower()
        if stem in _ABBREVIATIONS or (len(stem) == 1 and stem.isalpha()):
            continue
        sentences.append(text[start : match.end()].strip())
        start = match.end()
    return [*sentences, text[start:].strip()]


def is_english(sentence: str) -> bool:
    """Whether a line is prose: enough words, mostly letters, not a signature."""
    words = re.findall(r"[A-Za-z]{2,}", sentence)
    letters = sum(c.isalpha() or c == " " for c in sentence)
    mostly_letters = letters >= MIN_LETTERS * len(sentence)
    return len(words) >= MIN_WORDS and mostly_letters and not _SIGNATURE.match(sentence)


def _prose_lines(text: str) -> Iterator[str]:
    """Yields lines, with empty ones for code, doctests, directives and rules."""
    fenced, literal_indent, doctest = False, None, False
    for line in text.splitlines():
        stripped, indent = line.strip(), len(line) - len(line.lstrip())
        if stripped.startswith(("```", "~~~")):
            fenced = not fenced
        if literal_indent is not None and stripped and indent <= literal_indent:
            literal_indent = None
        doctest = bool(stripped) and (doctest or stripped.startswith((">>>", "In [")))
        code = fenced or literal_indent is not None or doctest
        if code or _DIRECTIVE.match(line) or _RULE.match(line) or "```" in line:
            yield ""
        else:
            yield line
        if literal_indent is None and _LITERAL.search(line) and not fenced:
            # A note's body is prose; what follows any other `::` is not.
            prose = re.search(r"\.\. (note|warning|tip|seealso|important)::", line)
            literal_indent = None if prose else indent


def _units(lines: Iterator[str]) -> Iterator[str]:
    """Joins wrapped lines to paragraphs, list items and argument entries."""
    unit, unit_indent = [], 0
    for line in [*lines, ""]:
        stripped, indent = line.strip(), len(line) - len(line.lstrip())
        begins = not stripped or indent < unit_indent or _UNIT_START.match(stripped)
        if unit and begins:
            yield " ".join(unit)
            unit = []
        if stripped and not unit:
            unit_indent = indent
        if stripped:
            unit.append(stripped)


def _plain(unit: str) -> str:
    """Strips the markup of reStructuredText and Markdown."""
    unit = _FIELD.sub(r"\1: ", _BULLET.sub("", unit)).lstrip(": ")
    for pattern, replacement in _MARKUP:
        unit = pattern.sub(replacement, unit)
    return unit.replace("::", ":").strip()
