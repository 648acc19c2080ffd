"""Trains the same BERT with three programs on the same batches, and compares them.

`loop` is `keras_bert.training.loop`, `fit` a plain Keras script, `torch` Hugging Face's
`BertForPreTraining` with PyTorch's AdamW. Google and this package initialize weights
from a truncated normal distribution, Hugging Face from a normal one; so
`torch_truncated` is initialized like Google's, and `loop_wide` with the standard
deviation of Hugging Face's. The seed determines the order of the records and their
masks, the same for all programs; each library initializes weights and draws dropout by
itself. All are scored on held-out documents by the same NumPy code.

    python benchmarks/learning.py --text 'corpus/*.txt' --output learning/
    python benchmarks/learning.py --text 'corpus/*.txt' --output learning/ --steps 20

Each run is a process with one thread, and completed runs are not repeated. Needs the
extra `torch` and transformers.
"""

import argparse
import glob
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

PROGRAMS = ("loop", "fit", "torch_truncated", "loop_wide", "torch")
COMPARED = (
    ("loop", "torch_truncated"),
    ("fit", "torch_truncated"),
    ("loop_wide", "torch"),
)
CUT_DEVIATION = 0.87962566  # of a normal distribution truncated at two deviations
THREADS = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
)
PARAGRAPHS = 20  # per document
HELD_OUT_EVERY = 20  # documents
SCORES = ("mlm_loss", "mlm_accuracy", "nsp_loss", "nsp_accuracy")


@dataclass(frozen=True)
class Study:
    """The hyperparameters of all runs.

    Args:
        steps: optimizer steps.
        batch_size: rows per batch.
        learning_rate: the highest rate.
        warmup_share: fraction of the steps.
        weight_decay: of the optimizer.
        epsilon: of the optimizer.
        clip_norm: global norm at which gradients are clipped.
        seq: tokens per row.
        predictions: the most masked positions per row.
        vocab_size: of the vocabulary that is learned.
        hidden_size: of the model.
        layers: of the model.
        heldout_batches: the number of batches to score on.
    """

    steps: int = 1000
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    epsilon: float = 1e-6
    clip_norm: float = 1.0
    seq: int = 64
    predictions: int = 10
    vocab_size: int = 4000
    hidden_size: int = 128
    layers: int = 2
    heldout_batches: int = 64

    @property
    def warmup_steps(self) -> int:
        """The number of warm-up steps."""
        return round(self.steps * self.warmup_share)

    def rate_share(self, done: int) -> float:
        """Returns the learning rate after `done` steps as a fraction of the highest."""
        if done < self.warmup_steps:
            return done / self.warmup_steps
        return 1 - done / self.steps  # as Google's, not continuous after the warm-up

    def sizes(self, vocab_size: int) -> dict[str, int]:
        """Returns the config fields, which have the same names in both libraries."""
        return dict(
            vocab_size=vocab_size,
            hidden_size=self.hidden_size,
            num_hidden_layers=self.layers,
            num_attention_heads=self.hidden_size // 64,
            intermediate_size=4 * self.hidden_size,
            max_position_embeddings=self.seq,
        )


# === Data ===


def documents(pattern: str) -> list[str]:
    """Reads text files as documents of consecutive paragraphs."""
    found = []
    for file in sorted(glob.glob(pattern, recursive=True)):
        lines = Path(file).read_text(encoding="utf-8").splitlines()
        text = "\n".join(line.strip() for line in lines)
        paragraphs = [p for p in text.split("\n\n") if p.strip()]
        for start in range(0, len(paragraphs), PARAGRAPHS):
            joined = (
                p.replace("\n", " ") for p in paragraphs[start : start + PARAGRAPHS]
            )
            found.append("\n".join(joined))
    return found


def prepare(pattern: str, folder: Path, study: Study) -> None:
    """Writes vocabulary and records if they do not exist."""
    from keras_bert.pretraining.create import create_pretraining_data
    from keras_bert.pretraining.settings import DataSettings
    from keras_bert.pretraining.sources import Documents
    from keras_bert.tokenization import BertTokenizer

    if (folder / "heldout.tfrecord").exists():
        return
    texts = documents(pattern)
    parts = {
        "train": [t for n, t in enumerate(texts) if n % HELD_OUT_EVERY],
        "heldout": texts[::HELD_OUT_EVERY],
    }
    tokenizer = BertTokenizer.train(iter(parts["train"]), study.vocab_size)
    tokenizer.save_pretrained(folder / "tokenizer")
    settings = DataSettings(
        max_seq_length=study.seq,
        max_predictions_per_seq=study.predictions,
        dupe_factor=2,
        form="compact",  # masked again in each pass
    )
    for name, part in parts.items():
        file = folder / f"{name}.tfrecord"
        counts = create_pretraining_data(Documents(part), file, tokenizer, settings)
        print(f"{name}: {len(part):,} documents, {counts['records']:,} records")


def batches(folder: Path, study: Study, part: str, seed: int) -> Any:
    """Returns batches by number, as NumPy arrays."""
    from keras_bert.pretraining.masking import MaskingSettings
    from keras_bert.pretraining.numpy_reading import RecordBatches
    from keras_bert.tokenization import BertTokenizer

    training = part == "train"
    return RecordBatches(
        folder / f"{part}.tfrecord",
        study.batch_size,
        seed=seed,
        shuffle=training,
        repeat=training,
        limit=None if training else study.heldout_batches,
        tokenizer=BertTokenizer.from_pretrained(folder / "tokenizer"),
        masking=MaskingSettings(max_predictions=study.predictions),
    )


def _vocab_size(folder: Path) -> int:
    from keras_bert.tokenization import BertTokenizer

    return BertTokenizer.from_pretrained(folder / "tokenizer").vocab_size


# === Scores ===


def scores(heldout: Any, predict: Callable[[dict], Sequence[np.ndarray]]) -> dict:
    """Scores a model on held-out batches.

    Args:
        heldout: batches by number.
        predict: features to masked-LM logits `(batch, predictions, vocab)` and
            next-sentence logits `(batch, 2)`.
    """
    sums = dict.fromkeys([*SCORES, "masked", "rows"], 0.0)
    for number in range(1, len(heldout) + 1):
        features, labels, weights = heldout(number)
        for name, key, logits in zip(
            ("mlm", "nsp"),
            ("prediction_logits", "seq_relationship_logits"),
            predict(features),
            strict=True,
        ):
            answers, weight = labels[key], weights[key]
            losses = _cross_entropy(logits.astype("float64"), answers)
            sums[f"{name}_loss"] += float((losses * weight).sum())
            right = logits.argmax(-1) == answers
            sums[f"{name}_accuracy"] += float((right * weight).sum())
            sums["masked" if name == "mlm" else "rows"] += float(weight.sum())
    per = {"mlm": sums["masked"], "nsp": sums["rows"]}
    return {name: sums[name] / per[name[:3]] for name in SCORES}


def _cross_entropy(logits: np.ndarray, answers: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(-1, keepdims=True)
    right = np.take_along_axis(logits, answers[..., None], -1)[..., 0]
    return np.log(np.exp(logits).sum(-1)) - right


# === The programs ===


def _keras_model(folder: Path, study: Study, seed: int, deviation: float = 0.02) -> Any:
    import keras_bert

    sizes = study.sizes(_vocab_size(folder))
    config = keras_bert.BertConfig(**sizes, initializer_range=deviation)
    return keras_bert.BertForPreTraining(config, seed=seed)


def _keras_scores(model: Any, folder: Path, study: Study) -> dict:
    def predict(features: dict) -> list[np.ndarray]:
        outputs = model.predict_on_batch(features)
        return [outputs["prediction_logits"], outputs["seq_relationship_logits"]]

    return scores(batches(folder, study, "heldout", 0), predict)


def train_loop_wide(folder: Path, study: Study, seed: int) -> dict:
    """Trains with the loop from weights with the deviation of Hugging Face's."""
    return train_loop(folder, study, seed, 0.02 / CUT_DEVIATION)


def train_loop(folder: Path, study: Study, seed: int, deviation: float = 0.02) -> dict:
    """Trains with the loop of this package."""
    from keras_bert.training.loop import Plan, Run

    model = _keras_model(folder, study, seed, deviation)
    plan = Plan(
        steps=study.steps,
        learning_rate=study.learning_rate,
        warmup_steps=study.warmup_steps,
        weight_decay=study.weight_decay,
        clip_norm=study.clip_norm,
        optimizer_options={"epsilon": study.epsilon},
        checkpoint_every=0,
        log_every=100,
    )
    train = batches(folder, study, "train", seed)
    directory = folder / f"run-{deviation:.4f}-{seed}"
    Run(model, plan, directory, train, show_progress=False)()
    return _keras_scores(model, folder, study)


def train_fit(folder: Path, study: Study, seed: int) -> dict:
    """Trains with a plain Keras script."""
    from keras_bert.optimizers import AdamW, LinearWarmupDecay

    model = _keras_model(folder, study, seed)
    rates = LinearWarmupDecay(study.learning_rate, study.steps, study.warmup_steps)
    model.compile(
        AdamW(
            rates,
            weight_decay=study.weight_decay,
            epsilon=study.epsilon,
            clip_norm=study.clip_norm,
        )
    )
    train = batches(folder, study, "train", seed)
    one_after_another = (train(step) for step in range(1, study.steps + 1))
    model.fit(one_after_another, steps_per_epoch=study.steps, verbose=0)
    return _keras_scores(model, folder, study)


def train_torch_truncated(folder: Path, study: Study, seed: int) -> dict:
    """Trains Hugging Face's model from weights initialized like Google's."""
    return train_torch(folder, study, seed, truncated=True)


def train_torch(folder: Path, study: Study, seed: int, truncated: bool = False) -> dict:
    """Trains Hugging Face's model with PyTorch's optimizer."""
    import torch
    from transformers import BertConfig, BertForPreTraining

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = BertForPreTraining(BertConfig(**study.sizes(_vocab_size(folder))))
    if truncated:
        _draw_truncated(model)
    optimizer = _torch_optimizer(model, study)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, study.rate_share)
    train = batches(folder, study, "train", seed)
    _check_torch_loss(model, train(1))
    model.train()
    for step in range(1, study.steps + 1):
        features, labels, weights = train(step)
        loss = _torch_loss(_torch_logits(model, features), labels, weights)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), study.clip_norm)
        optimizer.step()
        schedule.step()
    model.eval()

    def predict(features: dict) -> list[np.ndarray]:
        with torch.inference_mode():
            return [x.numpy() for x in _torch_logits(model, features)]

    return scores(batches(folder, study, "heldout", 0), predict)


def _draw_truncated(model: Any) -> None:
    """Initializes kernels and embeddings from a truncated normal distribution."""
    import torch

    std = model.config.initializer_range
    for weight in model.parameters():
        if weight.dim() == 2:
            torch.nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def _torch_optimizer(model: Any, study: Study) -> Any:
    import torch

    def is_decayed(name: str) -> bool:
        return not name.endswith("bias") and "LayerNorm" not in name

    groups = [
        {"params": [p for n, p in model.named_parameters() if is_decayed(n) == decayed]}
        for decayed in (True, False)
    ]
    groups[1]["weight_decay"] = 0.0
    return torch.optim.AdamW(
        groups, study.learning_rate, eps=study.epsilon, weight_decay=study.weight_decay
    )


def _torch_logits(model: Any, features: dict) -> tuple[Any, Any]:
    """Returns the logits at masked positions, the only ones with a loss."""
    import torch

    names = ("input_ids", "attention_mask", "token_type_ids")
    outputs = model.bert(**{n: torch.from_numpy(features[n]).long() for n in names})
    positions = torch.from_numpy(features["masked_lm_positions"]).long()
    hidden = outputs.last_hidden_state  # (batch, seq, hidden)
    places = positions[..., None].expand(-1, -1, hidden.shape[-1])
    return model.cls(hidden.gather(1, places), outputs.pooler_output)


def _torch_loss(logits: Sequence[Any], labels: dict, weights: dict) -> Any:
    import torch

    words, questions = logits
    answers = torch.from_numpy(labels["prediction_logits"]).long()
    weight = torch.from_numpy(weights["prediction_logits"])
    losses = torch.nn.functional.cross_entropy(
        words.transpose(1, 2), answers, reduction="none"
    )
    is_random = torch.from_numpy(labels["seq_relationship_logits"]).long()
    next_sentence = torch.nn.functional.cross_entropy(questions, is_random)
    return (losses * weight).sum() / weight.sum() + next_sentence


def _check_torch_loss(model: Any, batch: tuple) -> None:
    """Checks that the gathered positions give the model's own loss."""
    import torch

    features, labels, weights = batch
    rows, columns = np.nonzero(weights["prediction_logits"])
    everywhere = np.full(features["input_ids"].shape, -100)
    places = features["masked_lm_positions"][rows, columns]
    everywhere[rows, places] = labels["prediction_logits"][rows, columns]
    names = ("input_ids", "attention_mask", "token_type_ids")
    model.eval()
    with torch.inference_mode():
        own = model(
            **{n: torch.from_numpy(features[n]).long() for n in names},
            labels=torch.from_numpy(everywhere).long(),
            next_sentence_label=torch.from_numpy(
                labels["seq_relationship_logits"]
            ).long(),
        ).loss
        ours = _torch_loss(_torch_logits(model, features), labels, weights)
    torch.testing.assert_close(ours, own, rtol=1e-5, atol=1e-5)


# === The comparison ===


def one_run(folder: Path, study: Study, program: str, seed: int) -> dict:
    """Runs one program with one seed, in this process."""
    began = time.process_time()
    found = globals()[f"train_{program}"](folder, study, seed)
    seconds = time.process_time() - began
    return {"program": program, "seed": seed, **found, "cpu_seconds": round(seconds)}


def in_its_own_process(folder: Path, program: str, seed: int) -> dict:
    """Runs one program with one seed on one thread, or returns the earlier result."""
    file = folder / f"{program}-{seed}.json"
    if not file.exists():
        environment = os.environ | dict.fromkeys(THREADS, "1")
        command = [sys.executable, __file__, "--output", str(folder)]
        subprocess.run(
            [*command, "--only", program, str(seed)], env=environment, check=True
        )
    return json.loads(file.read_text(encoding="utf-8"))


def table(results: Sequence[dict]) -> Iterator[str]:
    """Yields a Markdown table of means and standard deviations over the seeds."""
    names = {name: f"{name[:3].upper()} {name[4:]}" for name in SCORES}
    yield "| program | " + " | ".join(names.values()) + " | CPU seconds |"
    yield "|---" * (len(names) + 2) + "|"
    for program in PROGRAMS:
        runs = [r for r in results if r["program"] == program]
        cells = [_mean_and_spread([r[name] for r in runs]) for name in names]
        seconds = statistics.mean(r["cpu_seconds"] for r in runs)
        yield f"| {program} | " + " | ".join(cells) + f" | {seconds:.0f} |"


def _mean_and_spread(values: Sequence[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.4f} ± {spread:.4f}"


def differences(results: Sequence[dict]) -> Iterator[str]:
    """Compares the means of ours and the peers' with the range over the seeds."""
    of = {
        program: {r["seed"]: r["mlm_loss"] for r in results if r["program"] == program}
        for program in PROGRAMS
    }
    for program, peer in COMPARED:
        ours, theirs = list(of[program].values()), list(of[peer].values())
        difference = statistics.mean(ours) - statistics.mean(theirs)
        widest = max(max(v) - min(v) for v in (ours, theirs))
        verdict = "within" if abs(difference) <= widest else "OUTSIDE"
        yield (
            f"{program} - {peer}: MLM loss {difference:+.4f}, {verdict} the "
            f"run-to-run range of {widest:.4f}"
        )


def versions() -> str:
    """Returns the versions of the libraries."""
    from importlib.metadata import version

    names = ("tensorflow", "keras", "torch", "transformers", "numpy")
    parts = [f"Python {platform.python_version()}"]
    return ", ".join(parts + [f"{name} {version(name)}" for name in names])


def main() -> None:
    """Prepares the data, runs what is missing, and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", help="pattern of English text files")
    parser.add_argument("--output", type=Path, required=True, help="directory")
    parser.add_argument("--steps", type=int, default=Study.steps)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--only", nargs=2, metavar=("PROGRAM", "SEED"), help=argparse.SUPPRESS
    )
    args = parser.parse_args()
    folder = args.output
    file = folder / "study.json"
    if args.only:
        study = Study(**json.loads(file.read_text(encoding="utf-8")))
        program, seed = args.only
        result = json.dumps(one_run(folder, study, program, int(seed)))
        (folder / f"{program}-{seed}.json").write_text(result, encoding="utf-8")
        return
    study = Study(steps=args.steps)
    folder.mkdir(parents=True, exist_ok=True)
    mine = json.dumps(asdict(study))
    if file.exists() and file.read_text(encoding="utf-8") != mine:
        sys.exit(f"{folder} contains another study; choose another directory.")
    file.write_text(mine, encoding="utf-8")
    prepare(args.text, folder, study)
    results = []
    for seed in args.seeds:
        for program in PROGRAMS:
            results.append(in_its_own_process(folder, program, seed))
            print(json.dumps(results[-1]), flush=True)
    print("\n".join(["", *table(results), "", *differences(results), "", versions()]))


if __name__ == "__main__":
    main()
