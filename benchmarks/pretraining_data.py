"""Measures `keras-bert data` as whole processes: instances per CPU-second, memory.

Rates are marginal: the additional cost of a second, longer input, which excludes
imports and the vocabulary, but not reading, tokenizing and writing.

    python benchmarks/pretraining_data.py --text corpus.txt --vocab vocab.txt
    python benchmarks/pretraining_data.py … --google-code ~/src/bert   # and Google's
    python benchmarks/pretraining_data.py … --memory 100 1000          # MB of input

Text is repeated if an input is longer, each copy with a different spelling of some
words, so that documents differ.
"""

import argparse
import os
import platform
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from processes import least, measure

# Google's script was written for TensorFlow 1.
GOOGLE = textwrap.dedent(
    """
    import runpy, sys
    import tensorflow.compat.v1 as tf
    sys.modules["tensorflow"] = tf
    sys.path.insert(0, sys.argv[1])
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0] + "/create_pretraining_data.py", run_name="__main__")
    """
)
FLAGS = ("--max_seq_length=128", "--max_predictions_per_seq=20", "--do_lower_case=True")


def ours(
    text: Path, vocab: Path, output: Path, dupe: int, more: list[str]
) -> list[str]:
    """Returns our command."""
    return [
        *(sys.executable, "-m", "keras_bert", "data", f"--input_file={text}"),
        *(f"--output_file={output}", f"--vocab_file={vocab}"),
        *(f"--dupe_factor={dupe}", "--overwrite", *FLAGS, *more),
    ]


def googles(code: Path, text: Path, vocab: Path, output: Path, dupe: int) -> list[str]:
    """Returns the command of google-research/bert."""
    return [
        *(sys.executable, "-c", GOOGLE, str(code), f"--input_file={text}"),
        *(f"--output_file={output}", f"--vocab_file={vocab}"),
        *(f"--dupe_factor={dupe}", *FLAGS),
    ]


def count_records(files: list[Path]) -> int:
    """Counts the records of TFRecord files by their frames."""
    total = 0
    for file in files:
        with file.open("rb") as stream:
            while head := stream.read(12):
                stream.seek(int.from_bytes(head[:8], "little") + 4, os.SEEK_CUR)
                total += 1
    return total


def write_text(path: Path, source: str, size: int) -> None:
    """Writes `size` bytes of whole documents, each copy of the text different."""
    documents = source.strip().split("\n\n")
    with path.open("w", encoding="utf-8") as file:
        for document in _endless(documents):
            file.write(document + "\n\n")
            if file.tell() >= size:
                return


def _endless(documents: list[str]) -> Iterator[str]:
    yield from documents
    rng = np.random.default_rng(0)
    while True:
        for index in rng.permutation(len(documents)):
            lines = documents[index].split("\n")
            yield "\n".join(_respelled(line, rng) for line in lines)


def _respelled(line: str, rng: np.random.Generator) -> str:
    """Doubles a letter in about one word of ten."""
    words = line.split(" ")
    for place in rng.integers(0, len(words), max(1, len(words) // 10)).tolist():
        words[place] = words[place][:2] + words[place][1:]
    return " ".join(words)


def speed(
    args: argparse.Namespace, folder: Path, dupe: int
) -> Iterator[dict[str, Any]]:
    """Yields the marginal rates of ours and of Google's script."""
    source = args.text.read_text("utf-8")
    texts = [folder / f"{mb}mb.txt" for mb in args.megabytes]
    for text, mb in zip(texts, args.megabytes, strict=True):
        write_text(text, source, int(mb * 1e6))
    output = folder / "records"
    commands = {"keras_bert": lambda t: ours(t, args.vocab, output, dupe, args.flags)}
    if args.google_code:
        code = args.google_code
        commands["Google"] = lambda t: googles(code, t, args.vocab, output, dupe)
    for name, command in commands.items():
        runs = []
        for text in texts:
            best = least(command(text), args.repeats if name == "keras_bert" else 1)
            runs.append(best | {"instances": count_records([output])})
        short, long = runs
        more = long["instances"] - short["instances"]
        rate = more / (long["cpu_s"] - short["cpu_s"])
        yield {"what": f"{name}, dupe_factor {dupe}", "instances/CPU-s": rate} | long


def memory(args: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """Yields the peak memory of ours on inputs of several sizes."""
    source = args.text.read_text("utf-8")
    for mb in args.memory:
        text, output = folder / "text.txt", folder / "records"
        write_text(text, source, int(mb * 1e6))
        for dupe in args.dupe_factors:
            run = measure(ours(text, args.vocab, output, dupe, args.flags))
            run["instances"] = count_records([output])
            yield {"what": f"keras_bert, {mb:g} MB, dupe_factor {dupe}"} | run


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--text", type=Path, required=True, help="one sentence per line, blank lines")
    add("--vocab", type=Path, required=True, help="vocab.txt")
    add("--google-code", type=Path, help="a checkout of google-research/bert")
    add("--megabytes", type=float, nargs=2, default=(2, 10), help="inputs for rates")
    add("--dupe-factors", type=int, nargs="+", default=(1, 10))
    add("--memory", type=float, nargs="*", default=(), help="inputs for memory, MB")
    add("--repeats", type=int, default=3, help="runs of ours, of which the best counts")
    add("--flags", nargs="*", default=[], help="more flags for ours")
    args = parser.parse_args()
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    print(f"{versions}, {os.cpu_count()} cores")
    columns = ("instances", "cpu_s", "wall_s", "peak_mb", "instances/CPU-s")
    print("| what | " + " | ".join(columns) + " |\n" + "|---" * 6 + "|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        speeds = (row for d in args.dupe_factors for row in speed(args, folder, d))
        for row in memory(args, folder) if args.memory else speeds:
            cells = [f"{row[c]:,.1f}" if c in row else "" for c in columns]
            print(f"| {row['what']} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
