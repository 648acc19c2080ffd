"""Real tasks from one real checkpoint: here, in transformers with torch, and TF-IDF.

    python benchmarks/task_results.py --model all-MiniLM-L6-v2/ --data shared/data \
        --results results.jsonl [--only sst2 …] [--seeds 1 2 3]
    python benchmarks/task_results.py --results results.jsonl --table

Both libraries start from the same weights and see the same batches in
the same order, by the same settings; each draws its own new head and dropout. Both are
scored by the same code. Results are appended one line at a time: run again, it goes on
with what is missing.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from keras_bert.tasks import TASKS, SentenceEmbedding, Task


class Dataset(NamedTuple):
    """A task of the table.

    Attributes:
        task: its kind, a name of `TASKS`.
        train, test: files, relative to `--data`; without a test file, a fifth of the
            rows, always the same, is held out.
        metric: what the table shows, a name in the task's scores.
        reading: how the files are read.
        settings: of training, fields of `FineTuning`.
        per_class: training rows drawn of each class; None takes all.
        options: of the training here; the same is built into the peers.
        every: takes every so many of the training rows, those of texts that are not
            tested on.
        vocabulary: file of another vocabulary, whose tokens get new embeddings.
        frozen: the embeddings stay as they are, and a logistic regression learns.
        scale: of the metric, to percent.
    """

    task: str
    train: str
    test: str | None
    metric: str
    reading: Mapping[str, Any] = MappingProxyType({})
    settings: Mapping[str, Any] = MappingProxyType({})
    per_class: int | None = None
    options: Mapping[str, Any] = MappingProxyType({})
    every: int | None = None
    vocabulary: str | None = None
    frozen: bool = False
    scale: float = 100.0


COMMON = {"epochs": 2, "batch_size": 32, "learning_rate": 1e-4, "max_length": 128}
COMMON |= {"group_by_length": True}
BANKING = "classification/banking77"
STS = {"header": False, "text": 1, "text_pair": 2, "label": 3}
TAGS = {"task": "ner", "metric": "f1", "scale": 1.0}

DATASETS = {
    "SST-2 (sentences)": Dataset(
        "classification",
        "classification/sst2/train.tsv",
        "classification/sst2/test.tsv",
        "accuracy",
        {"header": False, "text": 1, "label": 2},
    ),
    "Banking77, 10 per class": Dataset(
        "classification",
        f"{BANKING}/train.csv",
        f"{BANKING}/test.csv",
        "accuracy",
        {"label": "category"},
        {"epochs": 20, "learning_rate": 2e-4},
        per_class=10,
    ),
    "Banking77, 10 per class, frozen embeddings": Dataset(
        "sts",
        f"{BANKING}/train.csv",
        f"{BANKING}/test.csv",
        "accuracy",
        {"label": "category"},
        per_class=10,
        frozen=True,
    ),
    "Banking77": Dataset(
        "classification",
        f"{BANKING}/train.csv",
        f"{BANKING}/test.csv",
        "accuracy",
        {"label": "category"},
        {"epochs": 3, "learning_rate": 2e-4},
    ),
    "CoLA (in domain)": Dataset(
        "classification",
        "classification/cola/in_domain_train.tsv",
        "classification/cola/in_domain_dev.tsv",
        "matthews_correlation",
        {"header": False, "text": 4, "label": 2},
        {"epochs": 3},
    ),
    "STS benchmark": Dataset(
        "sts",
        "regression/stsb/stsb-en-train.csv",
        "regression/stsb/stsb-en-test.csv",
        "spearman",
        STS,
        {"epochs": 1, "learning_rate": 5e-5},
        options={"loss": "cosine", "score_range": (0, 5)},
    ),
    "WNUT-17": Dataset(
        train="ner/wnut17/train.conll",
        test="ner/wnut17/test.annotated",
        settings={"epochs": 4},
        **TAGS,
    ),
    "XQuAD, English": Dataset(
        "qa",
        "qa/squad-dev-v1.1.from-explorer.json",
        "qa/xquad.en.json",
        "f1",
        settings={"max_length": 256},
        scale=1.0,
        every=4,
    ),
    "WikiGold, a fifth held out": Dataset(
        train="ner/wikigold/wikigold.conll.txt",
        test=None,
        settings={"epochs": 4},
        **TAGS,
    ),
    "Waimai (Chinese), a fifth held out": Dataset(
        "classification",
        "classification/zh_waimai_10k/waimai_10k.csv",
        None,
        "accuracy",
        {"text": "review", "label": "label"},
        {"epochs": 2, "learning_rate": 2e-4},
        vocabulary="vocab/bert-base-chinese-vocab.txt",
    ),
}


# === Programs ===


def ours(task: Task, items: list, data: Dataset, seed: int) -> Any:
    """Trains with this package; returns outputs of a list of items."""
    settings = {**COMMON, **data.settings, **data.options}
    task.fit(items, show_progress=False, **settings)
    return task.outputs


def peer(task: Task, items: list, data: Dataset, seed: int) -> Any:
    """Trains transformers' model on the batches that this package makes."""
    import torch_tasks

    torch_tasks.train(task, items, {**COMMON, **data.settings}, seed)
    return task.outputs


def tfidf(task: Task, items: list, data: Dataset, seed: int) -> Any:
    """Trains logistic regression on TF-IDF; of two texts it takes the cosine alone."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = {"analyzer": "char"} if data.vocabulary else {}  # Chinese has no spaces
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, **words)
    vectorizer.fit([text for e in items for text in (e.text, e.text_pair) if text])

    def cosines(items: list) -> np.ndarray:
        first, second = (
            vectorizer.transform([getattr(e, name) for e in items])
            for name in ("text", "text_pair")
        )
        found = np.asarray(first.multiply(second).sum(1)).ravel()
        vectors = np.stack([found, np.sqrt(np.maximum(1 - found**2, 0))], -1)
        return np.stack([np.tile([1.0, 0.0], (len(items), 1)), vectors], 1)

    if data.task == "sts":
        return cosines
    model = LogisticRegression(C=10, max_iter=2000)
    model.fit(vectorizer.transform([e.text for e in items]), [e.label for e in items])
    task.given_labels = list(model.classes_)

    def outputs(items: list) -> np.ndarray:
        found = model.decision_function(vectorizer.transform([e.text for e in items]))
        return found if found.ndim == 2 else np.stack([-found, found], 1)

    return outputs


# === Runs ===


def some_of_each(items: list, count: int, seed: int) -> list:
    """Returns so many items of each class, drawn by the seed."""
    rng = np.random.default_rng(seed)
    chosen = [items[i] for i in rng.permutation(len(items))]
    kept: dict[Any, int] = {}
    found = []
    for item in chosen:
        kept[item.label] = kept.get(item.label, 0) + 1
        found += [item] if kept[item.label] <= count else []
    return found


def on_embeddings(path: Path, train: list, test: list) -> float:
    """Returns the accuracy of a logistic regression on a checkpoint's embeddings."""
    from sklearn.linear_model import LogisticRegression

    embedder = SentenceEmbedding.from_pretrained(path)
    model = LogisticRegression(C=10, max_iter=2000)
    model.fit(embedder.encode([e.text for e in train]), [e.label for e in train])
    found = embedder.encode([e.text for e in test])
    return float(model.score(found, [e.label for e in test]))


def with_vocabulary(model: Path, vocabulary: Path) -> Path:
    """Returns the checkpoint with another vocabulary, written beside it once.

    Tokens of both vocabularies keep their embeddings; the others' are drawn.
    """
    from safetensors.numpy import load_file, save_file

    path = model.with_name(f"{model.name}-{vocabulary.stem}")
    if path.exists():
        return path
    old, new = (
        file.read_text("utf-8").splitlines()
        for file in (model / "vocab.txt", vocabulary)
    )
    weights = load_file(model / "model.safetensors")
    (name,) = [name for name in weights if name.endswith("word_embeddings.weight")]
    table = np.random.default_rng(0).normal(0, 0.02, (len(new), weights[name].shape[1]))
    places = {token: i for i, token in enumerate(old)}
    for row, token in enumerate(new):
        if token in places:
            table[row] = weights[name][places[token]]
    config = json.loads((model / "config.json").read_text())
    folder = path.with_name(f"{path.name}.part")
    folder.mkdir(exist_ok=True)
    save_file(weights | {name: table.astype("float32")}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": len(new)}))
    (folder / "vocab.txt").write_text("\n".join(new) + "\n", "utf-8")
    folder.rename(path)
    return path


def run(name: str, program: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Returns a line of the results."""
    data = DATASETS[name]
    path = args.model
    if data.vocabulary:
        path = with_vocabulary(path, args.data / data.vocabulary)
    task = TASKS["classification" if data.frozen else data.task].from_pretrained(
        path, seed=seed
    )
    items = task.read(args.data / data.train, **data.reading)
    if data.test is None:
        items, test, *_ = task.hold_out(items, 0.2, seed=0)
    else:
        test = task.read(args.data / data.test, **data.reading)
    if data.every is not None:
        tested = {item.passage.text for item in test}
        items = [item for item in items if item.passage.text not in tested][
            :: data.every
        ]
    if data.per_class is not None:
        items = some_of_each(items, data.per_class, seed)
    if args.rows:
        items, test = (x[:: -(-len(x) // args.rows)] for x in (items, test))
    began, start = time.process_time(), time.monotonic()
    if data.frozen:
        scores = {"accuracy": on_embeddings(path, items, test)}
    else:
        outputs = PROGRAMS[program](task, items, data, seed)
    spent = time.process_time() - began, time.monotonic() - start
    if not data.frozen:
        scores = task.score(test, outputs(test))
    return {
        **{"dataset": name, "program": program, "seed": seed, "rows": len(items)},
        **{"test_rows": len(test), "metric": data.metric},
        "value": scores[data.metric] * data.scale,
        "cpu_seconds": round(spent[0], 1),
        "seconds": round(spent[1], 1),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Returns the versions that results depend on."""
    names = ("tensorflow", "keras", "torch", "transformers", "scikit-learn", "numpy")
    return {"python": platform.python_version(), **{n: version(n) for n in names}}


PROGRAMS: dict[str, Callable] = {"ours": ours, "torch": peer, "tfidf": tfidf}


def table(lines: Iterable[dict[str, Any]]) -> str:
    """Returns the results as Markdown: mean ± standard deviation over seeds."""
    cells: dict[tuple[str, str], list[float]] = {}
    metrics = {}
    for line in lines:
        cells.setdefault((line["dataset"], line["program"]), []).append(line["value"])
        metrics[line["dataset"]] = line["metric"]
    rows = ["| task | metric | keras_bert | transformers, torch | TF-IDF |"]
    rows.append("|---|---|---|---|---|")
    for name, metric in metrics.items():
        found = [_cell(cells.get((name, program), [])) for program in PROGRAMS]
        rows.append(f"| {name} | {metric} | {' | '.join(found)} |")
    return "\n".join(rows)


def _cell(values: list[float]) -> str:
    if not values:
        return "–"
    spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", type=Path, help="the checkpoint, in Hugging Face's format")
    add("--data", type=Path, help="the directory of the data sets")
    add("--results", type=Path, required=True, help="a .jsonl file to append to")
    add("--only", nargs="+", default=list(DATASETS), choices=DATASETS, metavar="NAME")
    add("--programs", nargs="+", default=list(PROGRAMS), choices=PROGRAMS)
    add("--seeds", nargs="+", type=int, default=[1, 2, 3])
    add("--rows", type=int, help="use the first rows only, to try it")
    add("--table", action="store_true", help="print the table of the results")
    args = parser.parse_args()
    done = []
    if args.results.exists():
        done = [json.loads(line) for line in args.results.read_text().splitlines()]
    if args.table:
        print(table(done))
        return
    known = {(line["dataset"], line["program"], line["seed"]) for line in done}
    for seed, name, program in product(args.seeds, args.only, args.programs):
        data = DATASETS[name]
        absent = program == "tfidf" and data.task in ("ner", "qa")
        absent |= program != "ours" and data.frozen
        if (name, program, seed) in known or absent:
            continue
        line = run(name, program, seed, args)
        with args.results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
