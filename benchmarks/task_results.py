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
import math
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from keras_bert.tasks import TASKS, Task
from keras_bert.tasks.trimming import TOKENS


class Dataset(NamedTuple):
    """A task of the table.

    Attributes:
        task: its kind, a name of `TASKS`.
        train, test: files, relative to `--data`.
        metric: what the table shows, a name in the task's scores.
        reading: how the files are read.
        settings: of training, fields of `FineTuning`.
        per_class: training rows drawn of each class; None takes all.
        torch_class: of transformers.
        scale: of the metric, to percent.
    """

    task: str
    train: str
    test: str
    metric: str
    reading: Mapping[str, Any] = MappingProxyType({})
    settings: Mapping[str, Any] = MappingProxyType({})
    per_class: int | None = None
    torch_class: str = "AutoModelForSequenceClassification"
    scale: float = 100.0


COMMON = {"epochs": 2, "batch_size": 32, "learning_rate": 1e-4, "max_length": 128}
COMMON |= {"group_by_length": True}
BANKING = "classification/banking77"
STS = {"header": False, "text": 1, "text_pair": 2, "label": 3}
TAGS = {"task": "ner", "metric": "f1", "scale": 1.0}
TAGGING = {**TAGS, "torch_class": "AutoModelForTokenClassification"}

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
        "regression",
        "regression/stsb/stsb-en-train.csv",
        "regression/stsb/stsb-en-test.csv",
        "spearman",
        STS,
    ),
    "WNUT-17": Dataset(
        train="ner/wnut17/train.conll",
        test="ner/wnut17/test.annotated",
        settings={"epochs": 4},
        **TAGGING,
    ),
}


# === Programs ===


def ours(task: Task, items: list, data: Dataset, seed: int) -> Any:
    """Trains with this package; returns outputs of a list of items."""
    task.fit(items, show_progress=False, **{**COMMON, **data.settings})
    return task.outputs


def torch_program(task: Task, items: list, data: Dataset, seed: int, path: str) -> Any:
    """Trains transformers' model on the rows that this package makes."""
    import torch
    import transformers

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    settings = {**COMMON, **data.settings}
    task.max_length = settings["max_length"]
    task.config_fields(items, data.train)  # chooses the labels
    encoded = task.encode(items)[:2]
    named = {"num_labels": len(task.labels) if task.labels else 1}
    named |= {} if task.labels else {"problem_type": "regression"}
    model = getattr(transformers, data.torch_class).from_pretrained(path, **named)
    batch = settings["batch_size"]
    steps = math.ceil(len(items) * settings["epochs"] / batch)
    optimizer, schedule = _optimizer(torch, model, settings, steps)
    order = {"shuffle_seed": seed, "repeat": True, "group_by_length": True}
    batches = task.batches(Unchecked, encoded, batch, **order)
    model.train()
    for features, labels in batches.take(steps).as_numpy_iterator():
        target = torch.tensor(labels)
        target = target if target.is_floating_point() else target.long()
        model(**_tensors(torch, features), labels=target).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.eval()
    return lambda items: _outputs(torch, model, task.encode(items, labeled=False)[0])


class Unchecked:
    """A model that takes any input."""

    @staticmethod
    def check(features: Any) -> None: ...


def _optimizer(torch: Any, model: Any, settings: dict[str, Any], steps: int) -> tuple:
    excluded = ("bias", "LayerNorm.weight")
    groups = [
        {
            "params": [
                p for n, p in model.named_parameters() if n.endswith(excluded) == skips
            ],
            "weight_decay": 0.0 if skips else 0.01,
        }
        for skips in (False, True)
    ]
    warmup = round(steps * 0.1)
    optimizer = torch.optim.AdamW(groups, lr=settings["learning_rate"], eps=1e-6)

    def rate(step: int) -> float:
        return (step + 1) / warmup if step < warmup else 1 - step / steps

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)


def _tensors(torch: Any, features: dict[str, np.ndarray]) -> dict:
    return {name: torch.tensor(features[name]).long() for name in TOKENS}


def _outputs(torch: Any, model: Any, features: dict[str, np.ndarray]) -> np.ndarray:
    found = []
    with torch.no_grad():
        for begin in range(0, len(features["input_ids"]), 32):
            rows = {k: x[begin : begin + 32] for k, x in features.items()}
            longest = rows["attention_mask"].sum(1).max()
            short = {k: x[:, :longest] for k, x in rows.items()}
            logits = model(**_tensors(torch, short)).logits.numpy()
            cut = features["input_ids"].shape[1] - longest if logits.ndim == 3 else 0
            found.append(np.pad(logits, [(0, 0), (0, cut), (0, 0)][: logits.ndim]))
    return np.concatenate(found)


def tfidf(task: Task, items: list, data: Dataset, seed: int) -> Any:
    """Trains logistic regression on TF-IDF, or least squares of two texts' products."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    vectorizer.fit([text for e in items for text in (e.text, e.text_pair) if text])

    def vectors(items: list) -> Any:
        first = vectorizer.transform([e.text for e in items])
        if items[0].text_pair is None:
            return first
        second = vectorizer.transform([e.text_pair for e in items])
        return np.asarray(first.multiply(second).sum(1))

    if data.task == "regression":
        model = Ridge().fit(vectors(items), [float(e.label) for e in items])
        return lambda items: model.predict(vectors(items))[:, None]
    model = LogisticRegression(C=10, max_iter=2000)
    model.fit(vectors(items), [e.label for e in items])
    task.given_labels = list(model.classes_)

    def outputs(items: list) -> np.ndarray:
        found = model.decision_function(vectors(items))
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


def run(name: str, program: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Returns a line of the results."""
    data = DATASETS[name]
    task = TASKS[data.task].from_pretrained(args.model, seed=seed)
    items = task.read(args.data / data.train, **data.reading)
    test = task.read(args.data / data.test, **data.reading)
    if data.per_class is not None:
        items = some_of_each(items, data.per_class, seed)
    if args.rows:
        items, test = items[: args.rows], test[: args.rows]
    began, start = time.process_time(), time.monotonic()
    more = (str(args.model),) if program == "torch" else ()
    outputs = PROGRAMS[program](task, items, data, seed, *more)
    spent = time.process_time() - began, time.monotonic() - start
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


PROGRAMS: dict[str, Callable] = {"ours": ours, "torch": torch_program, "tfidf": tfidf}


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
    for name, seed, program in product(args.only, args.seeds, args.programs):
        no_texts = program == "tfidf" and DATASETS[name].task == "ner"
        if (name, program, seed) in known or no_texts:
            continue
        line = run(name, program, seed, args)
        with args.results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
