"""The demo's classification task: which package does a docstring come from?

The names of the packages are removed from the text, or the task would be to find them.
Train, dev and test consist of different modules, and no sentence is in two of them.
"""

import json
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "dev", "test")
NEUTRAL = "package"
# A name as a separate word, in a dotted path, or in snake_case or CamelCase.
_NAMES = re.compile(
    r"(?<![A-Za-z])(?i:c?python|numpy|np|scipy|sp|sklearn|scikit[-_ ]learn|scikit"
    r"|matplotlib|mpl|pyplot|plt|keras|tensorflow|tf|pytorch|torch|jax)\d?(?![a-z])"
    r"|(?:TensorFlow|Tensorflow|PyTorch|Keras|NumPy|SciPy|Torch|TF)(?=[A-Z])"
)


@dataclass(frozen=True)
class Sampling:
    """The number and length of examples.

    Attributes:
        train: the most examples for training, over all packages.
        dev: the most examples for choosing settings.
        test: the most examples for reporting.
        min_words: length of the shortest text.
        max_words: where texts are truncated.
    """

    train: int = 2000
    dev: int = 400
    test: int = 1000
    min_words: int = 8
    max_words: int = 40


def neutral(text: str) -> str:
    """Returns a text with the names of packages replaced by one word.

    Example:
        >>> neutral("Converts a tf.Tensor to a NumPy array (as_numpy=True).")
        'Converts a package.Tensor to a package array (as_package=True).'
    """
    return _NAMES.sub(NEUTRAL, text)


def sample(
    by_split: Mapping[str, Sequence[tuple[str, list[str]]]],
    sampling: Sampling,
    seed: int,
) -> dict[str, list[dict[str, str]]]:
    """Samples examples, balanced over the packages.

    Args:
        by_split: package and sentences of every docstring, by split.
        sampling: sizes.
        seed: for choosing and shuffling.

    Returns:
        Rows `{"text", "label"}` by split, shuffled.
    """
    chosen = {}
    for split in SPLITS:
        by_label = defaultdict(list)
        for label, sentences in by_split[split]:
            words = neutral(" ".join(sentences)).split()[: sampling.max_words]
            if len(words) >= sampling.min_words:
                by_label[label].append({"text": " ".join(words), "label": label})
        rng = random.Random(f"{seed}:{split}")
        chosen[split] = _balanced(by_label, getattr(sampling, split), rng)
    return chosen


def _balanced(by_label: Mapping[str, list], size: int, rng: random.Random) -> list:
    each = math.ceil(size / max(1, len(by_label)))
    rows = []
    for label in sorted(by_label):
        rows += rng.sample(by_label[label], min(each, len(by_label[label])))
    rng.shuffle(rows)
    return rows[:size]


def write_jsonl(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Writes one JSON object per line."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_jsonl(path: Path) -> tuple[list[str], list[str]]:
    """Returns texts and labels of a file written by `write_jsonl`."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [row["text"] for row in rows], [row["label"] for row in rows]


# === Baselines ===


def majority(labels: Sequence[str]) -> float:
    """Returns the accuracy of the best constant answer for these labels."""
    return max(Counter(labels).values()) / len(labels)


def tfidf_logistic_regression(
    train: tuple[Sequence[str], Sequence[str]],
    test: tuple[Sequence[str], Sequence[str]],
) -> float:
    """Returns the accuracy of logistic regression on TF-IDF of words and word pairs.

    Args:
        train: texts and labels.
        test: texts and labels.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    classifier = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(C=10.0, max_iter=1000),
    )
    return float(classifier.fit(*train).score(*test))


def unigram_entropy(counts: Mapping[int, int]) -> float:
    """Returns the entropy of a token distribution, the loss of the best unigram model.

    That model is fitted to the tokens it is scored on, so no unigram model can do
    better: a model with a lower masked-LM loss has learned from context.

    Args:
        counts: how often each token is to be predicted in the held-out text.

    Returns:
        Nats per token.

    Example:
        >>> round(unigram_entropy({1: 5, 2: 5}), 4)
        0.6931
    """
    total = sum(counts.values())
    return sum(-n / total * math.log(n / total) for n in counts.values() if n)
