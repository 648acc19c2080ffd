"""Builds the demo's corpus offline, from the documentation on this computer.

Every computer that can run the demo has some 15 MB of English: the language reference
in `pydoc_data.topics` and the docstrings of the standard library and of the installed
packages. They become

- `train.txt` and `heldout.txt` for pretraining: one sentence per line, a blank line
  between documents, one document per module;
- `classification_{train,dev,test}.jsonl`: short docstrings with the package of each,
see
  `demo_classification`.

No sentence occurs twice, and no module is in two splits, so held-out text is new to the
model.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import platform
import re
import shutil
import sysconfig
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from demo_classification import SPLITS, Sampling, sample, write_jsonl
from demo_docstrings import Docstring, read_docstrings
from tqdm import tqdm

from keras_bert.errors import ExistingOutputError, InputError

VERSION = 1  # to increase when the same sources give another corpus
STDLIB = "python"
PACKAGES = (
    STDLIB,
    "numpy",
    "scipy",
    "sklearn",
    "matplotlib",
    "keras",
    "tensorflow",
    "torch",
)
# Tests contain little text; the others repeat text found elsewhere, or generate it.
SKIPPED = re.compile(
    r"(?:^|/)(?:tests?|testing|idle_test|site-packages|__pycache__|include|_vendor"
    r"|third_party)/"
    r"|/(?:test_[^/]*|[^/]*_test|conftest)\.py$"
    r"|^tensorflow/(?:_api|python/keras)/|^keras/(?:api|_tf_keras)/"
    r"|^python/(?:lib2to3|turtledemo|ensurepip|distutils)/"
)
FAST_SHARE = 0.25  # of the files, for a sample
HELDOUT_SHARE = {"test": 0.08, "dev": 0.03}  # of the modules; the rest is training
DEFAULT_SAMPLING = Sampling()
CHUNK = 40  # files per task of a worker process


@dataclass(frozen=True)
class CorpusSummary:
    """A corpus.

    Attributes:
        directory: of its files.
        parameters: what it depends on; equal parameters give equal bytes.
        megabytes: text per package, in 10^6 bytes, over all splits.
        counts: files read, docstrings, documents and sentences per split.
        examples: classification examples per split.
    """

    directory: Path
    parameters: dict
    megabytes: dict[str, float]
    counts: dict[str, int]
    examples: dict[str, int]

    @property
    def train_file(self) -> Path:
        """Text to pretrain on."""
        return self.directory / "train.txt"

    @property
    def heldout_file(self) -> Path:
        """Text of modules that are not used in training."""
        return self.directory / "heldout.txt"

    def classification_file(self, split: str) -> Path:
        """Examples of one split: "train", "dev" or "test"."""
        return self.directory / f"classification_{split}.jsonl"

    @property
    def labels(self) -> list[str]:
        """The packages, as the classification files name them."""
        return sorted(self.parameters["packages"])

    def describe(self) -> str:
        """Returns the summary in a few lines of text."""
        sizes = ", ".join(f"{name} {mb:.1f}" for name, mb in self.megabytes.items())
        share = self.parameters["share"]
        note = f" (a sample: {share:.0%} of the files)" if share < 1 else ""
        return (
            f"{sum(self.megabytes.values()):.1f} MB of English{note}: {sizes}\n"
            f"{self.counts['train_sentences']:,} sentences to train on, "
            f"{self.counts['heldout_sentences']:,} held out, by module\n"
            f"{self.examples['train']:,} / {self.examples['dev']:,} / "
            f"{self.examples['test']:,} classification examples (train / dev / test)"
        )


def build(
    output_dir: str | Path,
    *,
    fast: bool = False,
    seed: int = 0,
    roots: dict[str, Path] | None = None,
    workers: int | None = None,
    sampling: Sampling = DEFAULT_SAMPLING,
    overwrite: bool = False,
) -> CorpusSummary:
    """Builds the corpus, or returns an existing one.

    Args:
        output_dir: the directory, which appears when it is complete.
        fast: read only a quarter of the files; the summary says so.
        seed: for the splits and for choosing examples.
        roots: directory of each package; None finds the installed ones.
        workers: the number of processes; None takes one per core, 0 reads in this one.
        sampling: number and length of classification examples.
        overwrite: replace a corpus built from other parameters.

    Raises:
        ExistingOutputError: `output_dir` contains something else.
        InputError: a package has no documentation.
    """
    output_dir = Path(output_dir)
    roots = roots or find_packages()
    parameters = {
        "version": VERSION,
        "packages": {name: package_version(name) for name in roots},
        "share": FAST_SHARE if fast else 1.0,
        "seed": seed,
        "sampling": dataclasses.asdict(sampling),
    }
    if output_dir.exists():
        found = read_summary(output_dir)
        if found and found.parameters == parameters:
            return found
        if not overwrite:
            raise ExistingOutputError(
                f"Expected nothing, or a corpus built from the same packages, in "
                f"{output_dir}. Delete it, or build with overwrite=True."
            )
    sources = list(find_files(roots, parameters["share"], seed))
    labeled = read_all(sources, workers)
    return _write(output_dir, unique(labeled), parameters, len(sources), sampling)


# === Finding ===


def find_packages() -> dict[str, Path]:
    """Returns the directory of every package of the corpus.

    Raises:
        InputError: one is not installed.
    """
    paths = sysconfig.get_paths()
    roots = {name: Path(paths["purelib"]) / name for name in PACKAGES}
    roots[STDLIB] = Path(paths["stdlib"])
    for name, root in roots.items():
        if not root.is_dir():
            raise InputError(
                f"Expected the package {name} at {root}, as part of the demo's "
                "corpus. Run `make install`."
            )
    return roots


def package_version(name: str) -> str:
    """Returns the version of an installed distribution, or Python's own."""
    distribution = {"sklearn": "scikit-learn"}.get(name, name)
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return platform.python_version()


def find_files(
    roots: dict[str, Path], share: float, seed: int
) -> Iterator[tuple[str, Path, str]]:
    """Yields package, path and module name of the files to read, in order."""
    for package, root in roots.items():
        for path in sorted(root.rglob("*.py")):
            module = f"{package}/{path.relative_to(root).as_posix()}"
            wanted = not SKIPPED.search(module) and fraction(seed, module) < share
            if wanted:
                yield package, path, module


def fraction(seed: int, text: str) -> float:
    """Returns a number in [0, 1) that depends on seed and text only."""
    digest = hashlib.sha256(f"{seed}:{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(seed: int, document: str) -> str:
    """Returns the split of a module: "train", "dev" or "test"."""
    # Not the hash by which files are sampled, or a sample would be skewed.
    position = fraction(seed, f"split:{document}")
    for split, share in HELDOUT_SHARE.items():
        if position < share:
            return split
        position -= share
    return "train"


# === Reading ===


def read_all(
    sources: Sequence[tuple[str, Path, str]], workers: int | None
) -> list[tuple[str, Docstring]]:
    """Reads the files, in order, with a progress bar over files."""
    workers = os.cpu_count() if workers is None else workers
    chunks = [sources[i : i + CHUNK] for i in range(0, len(sources), CHUNK)]
    with tqdm(total=len(sources), desc="Reading docstrings", unit=" files") as bar:
        labeled = []
        for chunk, found in zip(
            chunks, _map(_read_chunk, chunks, workers), strict=True
        ):
            labeled += found
            bar.update(len(chunk))
    return labeled


def _map(function, items: Iterable, workers: int) -> Iterator:
    if not workers:
        yield from map(function, items)
        return
    # Spawned, since a fork of a process with TensorFlow's threads can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(function, items)


def _read_chunk(chunk) -> list[tuple[str, Docstring]]:
    return [
        (package, docstring)
        for package, path, module in chunk
        for docstring in read_docstrings(path, module)
    ]


def unique(labeled: Iterable[tuple[str, Docstring]]) -> list[tuple[str, Docstring]]:
    """Drops repeated sentences, and docstrings that become empty.

    Sentences are compared by their letters only, so that a copy with other numbers,
    quotes or capitals is a repetition too.
    """
    seen, kept = set(), []
    for package, docstring in labeled:
        new = []
        for sentence in docstring.sentences:
            key = re.sub(r"[\W\d_]+", " ", sentence.lower())
            if key not in seen:
                seen.add(key)
                new.append(sentence)
        if new:
            kept.append((package, Docstring(docstring.document, new)))
    return kept


# === Writing ===


def read_summary(directory: Path) -> CorpusSummary | None:
    """Returns the summary of an existing corpus, or None."""
    path = directory / "corpus.json"
    if not path.is_file():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    return CorpusSummary(directory=directory, **values)


def _write(
    output_dir: Path,
    labeled: list[tuple[str, Docstring]],
    parameters: dict,
    files: int,
    sampling: Sampling,
) -> CorpusSummary:
    """Writes the corpus into a temporary directory, then renames it."""
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".corpus-", dir=output_dir.parent))
    try:
        summary = _fill(scratch, labeled, parameters, files, sampling)
        shutil.rmtree(output_dir, ignore_errors=True)
        scratch.chmod(0o755)  # mkdtemp's own is private
        scratch.rename(output_dir)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return dataclasses.replace(summary, directory=output_dir)


def _fill(directory, labeled, parameters, files, sampling) -> CorpusSummary:
    seed = parameters["seed"]
    documents = {"train": defaultdict(list), "heldout": defaultdict(list)}
    by_split = {split: [] for split in SPLITS}
    size = Counter()
    for package, docstring in labeled:
        split = split_of(seed, docstring.document)
        side = "train" if split == "train" else "heldout"
        documents[side][docstring.document] += docstring.sentences
        by_split[split].append((package, docstring.sentences))
        size[package] += sum(len(s.encode()) + 1 for s in docstring.sentences)
    counts = {"files": files, "docstrings": len(labeled)}
    for side, texts in documents.items():
        counts[f"{side}_documents"] = len(texts)
        counts[f"{side}_sentences"] = sum(map(len, texts.values()))
        _write_documents(directory / f"{side}.txt", texts.values())
    examples = sample(by_split, sampling, seed)
    for split, rows in examples.items():
        write_jsonl(directory / f"classification_{split}.jsonl", rows)
    summary = CorpusSummary(
        directory=directory,
        parameters=parameters,
        megabytes={name: size[name] / 1e6 for name in parameters["packages"]},
        counts=counts,
        examples={split: len(rows) for split, rows in examples.items()},
    )
    values = {k: v for k, v in vars(summary).items() if k != "directory"}
    (directory / "corpus.json").write_text(json.dumps(values, indent=2) + "\n")
    return summary


def _write_documents(path: Path, documents: Iterable[list[str]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("\n\n".join("\n".join(sentences) for sentences in documents))
        file.write("\n")
