"""`make demo`: from raw text to a pretrained, fine-tuned, converted and served BERT.

It works offline: the text is the documentation installed with Python and its packages.
Each stage writes its result to `demo_run/`; run the same command again to resume after
the last completed stage.
"""

import argparse
import dataclasses
import json
import logging
import math
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import demo_classification as classification
import demo_corpus
import demo_report
import numpy as np

from keras_bert.analysis.attention import attention_maps, plot_attention
from keras_bert.analysis.curves import plot_curves
from keras_bert.analysis.fill_mask import fill_mask, hide_words
from keras_bert.errors import KerasBertError
from keras_bert.tf_startup import start_tensorflow

ROOT = Path(__file__).resolve().parents[1]
OUTPUT_BOUND = 1e-5  # for differences of float32 outputs after a conversion
MARGIN = 0.6  # nats by which masked-LM loss must be below the unigram entropy


@dataclass(frozen=True)
class DemoSettings:
    """The hyperparameters of the demo."""

    fast: bool = False
    size: str = "tiny"
    vocab_size: int = 8000
    max_seq_length: int = 64
    max_predictions_per_seq: int = 10
    dupe_factor: int = 1
    batch_size: int = 64
    steps: int = 1700
    warmup_steps: int = 150
    learning_rate: float = 2e-3
    heldout_batches: int = 40
    finetune_epochs: int = 6
    finetune_rate: float = 5e-4
    seeds: tuple[int, ...] = (1, 2, 3)


SETTINGS = {
    False: DemoSettings(),
    True: DemoSettings(
        fast=True, steps=400, warmup_steps=50, finetune_epochs=5, seeds=(1,)
    ),
}
# Two passes over the text do not overfit, so dropout would only slow learning.
PRETRAINING_DROPOUT = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
FINETUNING_DROPOUT = dict(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)


class Demo:
    """The stages, each a method that returns its result as JSON.

    Args:
        settings: the hyperparameters.
        directory: for the results.
    """

    def __init__(self, settings: DemoSettings, directory: Path):
        self.settings, self.directory = settings, directory
        self.results: dict[str, Any] = {}

    # === Stages ===

    def corpus(self) -> dict:
        """Read the documentation installed here: English, split by module"""
        found = demo_corpus.build(self.directory / "corpus", fast=self.settings.fast)
        print(found.describe())
        return {}

    def vocabulary(self) -> dict:
        """Train a WordPiece vocabulary"""
        from keras_bert import BertTokenizer

        text = self.found.train_file
        tokenizer = BertTokenizer.train(text, vocab_size=self.settings.vocab_size)
        tokenizer.save_pretrained(self.directory / "tokenizer")
        sample = "Returns the eigenvalues of a symmetric matrix."
        print(
            f"{tokenizer.vocab_size:,} tokens; {' '.join(tokenizer.tokenize(sample))}"
        )
        return {"vocab_size": tokenizer.vocab_size}

    def records(self) -> dict:
        """Make masked-LM and next-sentence records"""
        from keras_bert.pretraining import DataSettings, create_pretraining_data

        settings = DataSettings(
            max_seq_length=self.settings.max_seq_length,
            max_predictions_per_seq=self.settings.max_predictions_per_seq,
            dupe_factor=self.settings.dupe_factor,
        )
        counts = {}
        for split in ("train", "heldout"):
            text = getattr(self.found, f"{split}_file")
            made = create_pretraining_data(
                text,
                self.path("records", f"{split}.tfrecord"),
                self.tokenizer,
                settings
                if split == "train"
                else dataclasses.replace(settings, dupe_factor=1),
                workers=os.cpu_count() or 1,
                overwrite=True,
            )
            counts[split] = made["records"]
        print(", ".join(f"{n:,} {split} records" for split, n in counts.items()))
        return counts

    def pretrain(self) -> dict:
        """Pretrain: masked words and next sentences"""
        import keras_bert
        from keras_bert.pretraining import dataset
        from keras_bert.training.loop import Plan, Run

        s = self.settings
        plan = Plan(
            steps=s.steps,
            learning_rate=s.learning_rate,
            warmup_steps=s.warmup_steps,
            evaluate_every=max(1, s.steps // 10),
            checkpoint_every=200,
        )
        config = keras_bert.BertConfig.preset(
            s.size, vocab_size=self.tokenizer.vocab_size, **PRETRAINING_DROPOUT
        )
        model = keras_bert.BertForPreTraining(config, seed=1)
        print(f"BERT-{s.size}: {model.count_params():,} parameters")
        train = dataset(self.records_of("train"), s.batch_size, seed=1, repeat=True)
        history = Run(model, plan, self.path("pretraining"), train, self.heldout())()
        model.save_pretrained(
            self.path("pretrained"), tokenizer=self.tokenizer, overwrite=True
        )
        last = [line for line in history if line["split"] == "heldout"][-1]
        entropy = self.unigram_entropy()
        print(
            f"held-out masked-LM loss {last['mlm_loss']:.3f} nats; unigram entropy of "
            f"the same tokens {entropy:.3f}; {entropy - last['mlm_loss']:.3f} below"
        )
        rate = np.median([h["tokens_per_second"] for h in history if "grad_norm" in h])
        return {
            "parameters": model.count_params(),
            "tokens_per_second": float(rate),
            "unigram_entropy": entropy,
            **{k: v for k, v in last.items() if k not in ("split", "time")},
        }

    def finetune(self) -> dict:
        """Fine-tune: which package does an unseen docstring come from?"""
        train, test = (self.examples(split) for split in ("train", "test"))
        result = {
            "majority": classification.majority(test[1]),
            "tfidf": classification.tfidf_logistic_regression(train, test),
        }
        for start in ("pretrained", "random"):
            result[start] = {
                str(seed): self.finetuned_accuracy(start, seed)
                for seed in self.settings.seeds
            }
        for name, value in result.items():
            values = value.values() if isinstance(value, dict) else [value]
            print(f"{name:>10}: " + ", ".join(f"{v:.1%}" for v in values))
        return result

    def convert(self) -> dict:
        """Convert to PyTorch and back, and to a Google checkpoint and back"""
        from keras_bert.checkpoints import convert

        pairs = []
        for name in ("pretrained", "classifier"):
            for form in ("huggingface", "google"):
                there = self.path("converted", f"{name}_{form}")
                back = self.path("converted", f"{name}_{form}_back")
                convert(self.path(name), there, form, overwrite=True)
                convert(there, back, "keras", overwrite=True)
                pairs += [
                    (f"{name}: {form}", there),
                    (f"{name}: {form} and back", back),
                ]
        return {"checks": self.compare_in_another_process(pairs)}

    def serve(self) -> dict:
        """Export a SavedModel, serve it, send one request"""
        from keras_bert import BertForSequenceClassification
        from keras_bert.serving.client import Client
        from keras_bert.serving.export import export
        from keras_bert.serving.server import Server

        model = BertForSequenceClassification.from_pretrained(self.path("classifier"))
        name = "demo_fast" if self.settings.fast else "demo"
        path = export(
            model,
            ROOT / "saved_models" / name,
            self.tokenizer,
            max_length=self.settings.max_seq_length,
        )
        texts, labels = self.examples("test")
        text = texts[0]
        with Server({name: path.parent}) as server:
            client = Client(server.url, name)
            (answer,) = client.predict([text])
            url = client.url
        row = self.tokenizer([text], max_length=self.settings.max_seq_length)
        difference = float(np.abs(np.asarray(model(row))[0] - answer["logits"]).max())
        print(
            f"{path.relative_to(ROOT)} says {answer['label']!r} to {text[:60]!r}… "
            f"(from {labels[0]})"
        )
        request = json.dumps({"instances": [{"text": text}]})
        return {
            "request": f"curl -d '{request}' {url}:predict",
            "answer": json.dumps(answer, indent=1),
            "difference": difference,
        }

    def report(self) -> dict:
        """Write report.html"""
        path = self.directory / "report.html"
        demo_report.write_demo_report(path, self.as_report(), overwrite=True)
        print(f"Open {os.path.relpath(path)}")
        return {}

    # === Shared by stages ===

    def path(self, *parts: str) -> Path:
        """Returns a path in the run's directory, and creates its parents."""
        path = self.directory.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def records_of(self, split: str) -> Path:
        return self.path("records", f"{split}.tfrecord")

    @property
    def found(self) -> demo_corpus.CorpusSummary:
        return demo_corpus.build(self.directory / "corpus", fast=self.settings.fast)

    @property
    def tokenizer(self) -> Any:
        from keras_bert import BertTokenizer

        return BertTokenizer.from_pretrained(self.directory / "tokenizer")

    def heldout(self) -> Any:
        from keras_bert.pretraining import dataset

        data = dataset(
            self.records_of("heldout"), self.settings.batch_size, shuffle=False
        )
        return data.take(self.settings.heldout_batches).cache()

    def unigram_entropy(self) -> float:
        """Returns the entropy of the tokens that the held-out loss is computed for."""
        counts: Counter = Counter()
        for _, labels, weights in self.heldout().as_numpy_iterator():
            ids = labels["prediction_logits"][weights["prediction_logits"] > 0]
            counts.update(ids.tolist())
        return classification.unigram_entropy(counts)

    def examples(self, split: str) -> tuple[list[str], list[str]]:
        return classification.read_jsonl(self.found.classification_file(split))

    def finetuned_accuracy(self, start: str, seed: int) -> float:
        """Trains a classifier from the pretrained encoder or from random weights."""
        import keras_bert
        from keras_bert import tasks
        from keras_bert.training.loop import Plan, Run

        s, labels = self.settings, self.found.labels

        def rows(split: str) -> tuple:
            examples = tasks.read_examples(self.found.classification_file(split))
            return tasks.encode(examples, self.tokenizer, s.max_seq_length, labels)

        train = rows("train")
        steps = math.ceil(len(train[1]) * s.finetune_epochs / 32)
        model = keras_bert.BertForSequenceClassification.from_pretrained(
            self.path("pretrained"),
            seed=seed,
            id2label=dict(enumerate(labels)),
            **FINETUNING_DROPOUT,
        )
        if start == "random":
            model = keras_bert.BertForSequenceClassification(model.config, seed=seed)
        run = Run(
            model,
            Plan(steps=steps, learning_rate=s.finetune_rate, warmup_steps=steps // 10),
            self.path("finetuning", f"{start}_{seed}"),
            tasks.dataset(*train, 32, shuffle_seed=seed, repeat=True),
            tasks.dataset(*rows("test"), 100),
        )
        accuracy = run()[-1]["accuracy"]
        if (start, seed) == ("pretrained", s.seeds[0]):
            model.save_pretrained(
                self.path("classifier"), tokenizer=self.tokenizer, overwrite=True
            )
        return accuracy

    def compare_in_another_process(self, pairs: list[tuple[str, Path]]) -> list[dict]:
        """Reads every artifact from disk again and compares it with its original."""
        request = [
            {"name": n, "path": str(p), "original": str(self.path(n.split(":")[0]))}
            for n, p in pairs
        ]
        command = [sys.executable, str(Path(__file__).with_name("demo_check.py"))]
        done = subprocess.run(
            command, input=json.dumps(request), capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"The check of the conversions failed:\n{done.stderr}")
        checks = json.loads(done.stdout)
        for check in checks:
            print(
                f"{check['name']:<34} weights {check['weights']:g}, "
                f"outputs {check['outputs']:.1e}"
            )
        return checks

    # === Report ===

    def as_report(self) -> demo_report.DemoRun:
        results = self.results
        return demo_report.DemoRun(
            corpus=self.found,
            pretraining=self.pretraining_report(),
            finetuning=demo_report.FineTuning(
                labels=self.found.labels,
                majority=results["finetune"]["majority"],
                tfidf=results["finetune"]["tfidf"],
                pretrained=_by_seed(results["finetune"]["pretrained"]),
                from_random=_by_seed(results["finetune"]["random"]),
            ),
            conversions=[
                demo_report.Conversion(
                    c["name"], c["weights"], c["outputs"], OUTPUT_BOUND
                )
                for c in results["convert"]["checks"]
            ],
            request=results["serve"]["request"],
            answer=results["serve"]["answer"],
            seconds={name: r["seconds"] for name, r in results.items()},
        )

    def pretraining_report(self) -> demo_report.Pretraining:
        import keras_bert

        s, result = self.settings, self.results["pretrain"]
        model = keras_bert.BertForPreTraining.from_pretrained(self.path("pretrained"))
        sentences = self.found.heldout_file.read_text(encoding="utf-8").splitlines()
        hidden = hide_words(sentences, self.tokenizer, seed=2, count=10)
        text = hide_words(sentences, self.tokenizer, seed=7, count=1, max_words=12)[0]
        text = text.text.replace("[MASK]", text.truth)
        maps = attention_maps(model, self.tokenizer, text)
        curves = plot_curves(
            self.path("pretraining") / "metrics.jsonl",
            self.directory / "curves.png",
            references={"mlm_loss": {"unigram entropy": result["unigram_entropy"]}},
            overwrite=True,
        )
        return demo_report.Pretraining(
            settings={
                "model": f"BERT-{s.size}, {result['parameters']:,} parameters",
                "steps": f"{s.steps:,} of {s.batch_size} rows of {s.max_seq_length}",
                "speed": f"{result['tokens_per_second']:,.0f} tokens/s",
            },
            heldout_mlm_loss=result["mlm_loss"],
            unigram_entropy=result["unigram_entropy"],
            heldout_mlm_accuracy=result["mlm_accuracy"],
            heldout_nsp_accuracy=result["nsp_accuracy"],
            curves=curves,
            filled=[(h, fill_mask(model, self.tokenizer, h.text)[0]) for h in hidden],
            attention=plot_attention(
                *maps, self.directory / "attention.png", overwrite=True
            ),
            attention_text=text,
        )

    # === Running ===

    def run(self) -> list[str]:
        """Runs the stages that are not complete; returns the claims that failed."""
        self.results = self.read_results()
        stages: list[Callable[[], dict]] = [
            self.corpus,
            self.vocabulary,
            self.records,
            self.pretrain,
            self.finetune,
            self.convert,
            self.serve,
            self.report,
        ]
        for number, stage in enumerate(stages, start=1):
            name = stage.__name__
            print(f"\n[{number}/{len(stages)}] {stage.__doc__}", flush=True)
            if name in self.results and name != "report":
                print(f"already complete, in {self.results[name]['seconds']:.0f} s")
                continue
            began = time.monotonic()
            result = stage()
            result["seconds"] = round(time.monotonic() - began, 1)
            self.results[name] = result
            self.path("results.json").write_text(json.dumps(self.results, indent=1))
        return self.missed()

    def read_results(self) -> dict:
        """Returns the results of earlier runs with the same settings."""
        settings = json.dumps(dataclasses.asdict(self.settings), indent=1)
        file = self.path("settings.json")
        if file.exists() and file.read_text() != settings:
            print(f"{self.directory} was made with other settings: starting over.")
            shutil.rmtree(self.directory)
        self.path("settings.json").write_text(settings)
        results = self.path("results.json")
        return json.loads(results.read_text()) if results.exists() else {}

    def missed(self) -> list[str]:
        """Returns the claims of the demo that failed; a sample makes fewer claims."""
        checks = self.results["convert"]["checks"]
        served = self.results["serve"]["difference"]
        claims = {
            "conversions keep every weight": all(c["weights"] == 0 for c in checks),
            f"conversions keep outputs to {OUTPUT_BOUND:g}": all(
                c["outputs"] <= OUTPUT_BOUND for c in checks
            ),
            "the server returns the model's outputs": served <= OUTPUT_BOUND,
        }
        if not self.settings.fast:
            claims |= self.learned()
        return [claim for claim, holds in claims.items() if not holds]

    def learned(self) -> dict[str, bool]:
        """Returns the claims of a full run about its models."""
        pretrain, tuned = self.results["pretrain"], self.results["finetune"]
        below = pretrain["unigram_entropy"] - pretrain["mlm_loss"]
        pretrained, random = (
            float(np.mean(list(tuned[start].values())))
            for start in ("pretrained", "random")
        )
        return {
            f"masked-LM loss {MARGIN} nats below the unigram entropy": below >= MARGIN,
            "pretraining beats random weights": pretrained > random,
        }


def _by_seed(values: dict[str, float]) -> dict[int, float]:
    return {int(seed): value for seed, value in values.items()}


def main() -> int:
    """Runs the demo, and reports whether its claims hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="a sample of the files")
    parser.add_argument("--output", type=Path, help="directory for the results")
    args = parser.parse_args()
    start_tensorflow()
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    default = ROOT / ("demo_run_fast" if args.fast else "demo_run")
    demo = Demo(SETTINGS[args.fast], args.output or default)
    if args.fast:
        print("FAST: a sample of the files, fewer steps and one seed.")
    try:
        missed = demo.run()
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again to resume.")
        return 130
    except KerasBertError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    total = sum(result["seconds"] for result in demo.results.values())
    print(f"\n{total / 60:.1f} minutes in total.")
    for claim in missed:
        print(f"FAILED: {claim}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
