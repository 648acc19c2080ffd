"""Compares tokenizers, in megabytes of text per CPU-second.

They run in one process with one thread each: the CPU time of all threads is counted,
the variants take turns, and the median round is reported. A "cold" tokenizer has seen
no text. The number of lines that differ from Google's rules, that is from
`BertTokenizer`, is reported too.

    python benchmarks/tokenizer_speed.py --vocab vocab.txt corpus.txt other.txt
    python benchmarks/tokenizer_speed.py --vocab vocab.txt corpus.txt --google …/bert

`--google` names a checkout of google-research/bert.
"""

import os

os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text
from tokenizers import BertWordPieceTokenizer

from keras_bert import BertTokenizer
from keras_bert.tokenization.files import read_lines
from keras_bert.tokenization.in_graph import InGraphTokenizer

TokenIds = list[list[int]]
PACKAGES = ("tensorflow", "tensorflow-text", "tokenizers", "numpy")


class OnHost:
    """A tokenizer of lists of strings.

    Args:
        make: returns the function to measure; called in each cold round.
        cold: measure new functions, which have seen no text.
        share: measure only every so many lines, for a slow tokenizer.
    """

    def __init__(self, make: Callable[[], Callable], cold: bool, share: int = 1):
        self._make, self._cold, self._share = make, cold, share
        self._function = make()

    def prepare(self, lines: list[str], batch_size: int) -> None:
        """Takes the text, and reads it once for warm rounds."""
        self._lines = lines[:: self._share]
        if not self._cold:
            self._function(self._lines)

    def measure(self) -> tuple[float, list[str]]:
        """Returns the CPU seconds of a round, and its lines."""
        function = self._make() if self._cold else self._function
        start = time.process_time()
        function(self._lines)
        return time.process_time() - start, self._lines

    def rows(self, lines: list[str]) -> TokenIds:
        """Returns the ids of each line."""
        found = self._function(lines)
        if isinstance(found, tuple):
            ids, splits = found
            return [row.tolist() for row in np.split(ids, splits[1:-1])]
        return found


class InPipeline:
    """A tokenizer of batches in a `tf.data` pipeline.

    Args:
        function: from a batch of strings to tensors.
        ids: returns the ragged ids of a batch; None if they cannot be compared.
    """

    def __init__(self, function: Callable, ids: Callable | None):
        self._function, self._ids = function, ids

    def prepare(self, lines: list[str], batch_size: int) -> None:
        """Batches the text, and runs the pipeline once."""
        batches = tf.data.Dataset.from_tensor_slices(lines).batch(batch_size).cache()
        options = tf.data.Options()
        options.threading.private_threadpool_size = 1
        options.threading.max_intra_op_parallelism = 1
        # Otherwise a round would run ahead while another variant is measured.
        options.autotune.enabled = False
        options.experimental_optimization.apply_default_optimizations = False
        count = int(batches.cardinality())
        data = batches.repeat().map(self._function).map(_size).batch(count)
        # One iterator for all rounds: a new one would optimize the function again.
        self._rounds = iter(data.with_options(options))
        self._lines = lines
        self.measure()

    def measure(self) -> tuple[float, list[str]]:
        """Returns the CPU seconds of a round, and its lines."""
        start = time.process_time()
        next(self._rounds)
        return time.process_time() - start, self._lines

    def rows(self, lines: list[str]) -> TokenIds | None:
        """Returns the ids of each line, all in one batch."""
        return None if self._ids is None else self._ids(tf.constant(lines)).to_list()


def _size(*found) -> tf.Tensor:
    """Returns the size of a result, so that passing it on takes no time."""
    return tf.size(tf.nest.flatten(found, expand_composites=True)[0])


def variants(vocab: str, google: Path | None) -> dict[str, OnHost | InPipeline]:
    """Returns the variants by name."""
    host = BertTokenizer(vocab, google_rules=True)
    graph = InGraphTokenizer.from_tokenizer(host)
    fast = tf_text.FastBertTokenizer(
        host.tokens, token_out_type=tf.int32, lower_case_nfd_strip_accents=True
    )
    rust = BertWordPieceTokenizer(vocab, lowercase=True)

    def encode_batch(lines: list[str]) -> TokenIds:
        found = rust.encode_batch(lines, add_special_tokens=False)
        return [line.ids for line in found]

    def batch() -> Callable:
        return BertTokenizer(host.tokens, google_rules=True).texts_to_ids

    def single() -> Callable:
        tokenizer = BertTokenizer(host.tokens, google_rules=True)
        return lambda lines: [tokenizer.text_to_ids(line) for line in lines]

    found = {
        "keras_bert in graph: tokenize": InPipeline(graph.tokenize, graph.tokenize),
        "keras_bert in graph: encode to 128": InPipeline(
            lambda texts: graph.encode(texts, max_length=128), None
        ),
        "keras_bert in graph: with offsets": InPipeline(
            graph.tokenize_with_offsets,
            lambda texts: graph.tokenize_with_offsets(texts).ids,
        ),
        "tensorflow-text FastBertTokenizer": InPipeline(
            fast.tokenize, lambda texts: fast.tokenize(texts).merge_dims(1, -1)
        ),
        "keras_bert host: texts_to_ids, warm": OnHost(batch, cold=False),
        "keras_bert host: texts_to_ids, cold": OnHost(batch, cold=True),
        "keras_bert host: text_to_ids, warm": OnHost(single, cold=False),
        "keras_bert host: text_to_ids, cold": OnHost(single, cold=True),
        "tokenizers encode_batch": OnHost(lambda: encode_batch, cold=False, share=4),
    }
    if google is not None:
        found["google-research/bert"] = OnHost(
            lambda: google_tokenizer(google, vocab), cold=False, share=20
        )
    return found


def google_tokenizer(checkout: Path, vocab: str) -> Callable:
    """Returns Google's own tokenizer as a function of lines."""
    sys.path.insert(0, str(checkout))
    import tokenization

    sys.path.pop(0)
    tf.gfile = tf.io.gfile
    tf.gfile.Open = tf.io.gfile.GFile
    full = tokenization.FullTokenizer(vocab, do_lower_case=True)
    return lambda lines: [
        full.convert_tokens_to_ids(full.tokenize(line)) for line in lines
    ]


def rounds(
    found: dict[str, OnHost | InPipeline], lines: list[str], count: int, batch_size: int
) -> dict[str, float]:
    """Returns megabytes per CPU-second of each variant, by the median round."""
    speeds: dict[str, list[float]] = {name: [] for name in found}
    for variant in found.values():
        variant.prepare(lines, batch_size)
    for _ in range(count):
        for name, variant in found.items():
            seconds, text = variant.measure()
            speeds[name].append(size(text) / seconds)
    return {name: statistics.median(values) for name, values in speeds.items()}


def size(lines: list[str]) -> float:
    """Returns megabytes of text."""
    return sum(len(line.encode()) + 1 for line in lines) / 1e6


def differing(
    found: dict[str, OnHost | InPipeline], lines: list[str], expected: TokenIds
) -> Iterator[str]:
    """Yields for each variant the number of lines with other tokens."""
    for variant in found.values():
        got = variant.rows(lines)
        if got is None:
            yield ""
        else:
            yield str(sum(a != b for a, b in zip(got, expected, strict=True)))


def main() -> None:
    """Measures and prints one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="text files, one text per line")
    parser.add_argument("--vocab", required=True, help="an uncased vocab.txt")
    parser.add_argument(
        "--google", type=Path, help="a checkout of google-research/bert"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch-size", type=int, default=256)
    args = parser.parse_args()
    for threads in ("inter_op", "intra_op"):
        getattr(tf.config.threading, f"set_{threads}_parallelism_threads")(1)
    found = variants(args.vocab, args.google)
    columns = {}
    for file in args.files:
        lines = [line.rstrip("\n") for line in read_lines(file) if line.strip()]
        title = f"{Path(file).stem} {size(lines):.1f} MB"
        columns[title] = rounds(found, lines, args.rounds, args.batch_size)
    sample = lines[:5000]
    host = BertTokenizer(args.vocab, google_rules=True)
    expected = [host.text_to_ids(line) for line in sample]
    differences = list(differing(found, sample, expected))
    report(columns, differences, len(sample), args)


def report(
    columns: dict[str, dict[str, float]],
    differences: list[str],
    sampled: int,
    args: argparse.Namespace,
) -> None:
    """Prints the versions and the table."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    print(f"Python {platform.python_version()}, {versions}")
    print(f"MB per CPU-second, median of {args.rounds} rounds, batch {args.batch_size}")
    heads = [*columns, f"lines of {sampled:,} that differ"]
    print(f"{'':38}", *(f"{head:>24}" for head in heads))
    for name, other in zip(next(iter(columns.values())), differences, strict=True):
        cells = [f"{speeds[name]:.1f}" for speeds in columns.values()]
        print(f"{name:38}", *(f"{cell:>24}" for cell in [*cells, other]))


if __name__ == "__main__":
    main()
