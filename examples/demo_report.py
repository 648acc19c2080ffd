"""The demo's report."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demo_corpus import CorpusSummary

from keras_bert.analysis.fill_mask import Guess, HiddenWord
from keras_bert.analysis.report import (
    Code,
    FilledMasks,
    Numbers,
    Picture,
    Section,
    Table,
    Text,
    write_report,
)


@dataclass(frozen=True)
class Pretraining:
    """The results of pretraining.

    Attributes:
        settings: hyperparameters by name.
        heldout_mlm_loss: nats per masked token of the held-out text.
        unigram_entropy: nats per token of the same tokens.
        heldout_mlm_accuracy: fraction of masked tokens predicted correctly.
        heldout_nsp_accuracy: fraction of pairs classified correctly.
        curves: figure of the run.
        filled: sentences with a masked word, and guesses.
        attention: figure of the attention.
        attention_text: the text of that figure.
    """

    settings: Mapping[str, str]
    heldout_mlm_loss: float
    unigram_entropy: float
    heldout_mlm_accuracy: float
    heldout_nsp_accuracy: float
    curves: Path
    filled: Sequence[tuple[HiddenWord, Sequence[Guess]]]
    attention: Path
    attention_text: str


@dataclass(frozen=True)
class FineTuning:
    """Accuracies on the test modules.

    Attributes:
        labels: the classes.
        majority: of the best constant answer.
        tfidf: of logistic regression on TF-IDF.
        pretrained: of the pretrained model, by seed.
        from_random: of the same model from random weights, by seed.
    """

    labels: Sequence[str]
    majority: float
    tfidf: float
    pretrained: Mapping[int, float]
    from_random: Mapping[int, float]


@dataclass(frozen=True)
class Conversion:
    """One conversion, read back from disk by another process.

    Attributes:
        name: for instance "Hugging Face and back".
        weight_difference: largest difference of any weight.
        output_difference: largest difference of any output.
        bound: the largest difference allowed for outputs.
    """

    name: str
    weight_difference: float
    output_difference: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether weights are equal and outputs within the bound."""
        return self.weight_difference == 0 and self.output_difference <= self.bound


@dataclass(frozen=True)
class DemoRun:
    """The contents of the report.

    Attributes:
        corpus: the text.
        pretraining: its result.
        finetuning: its result.
        conversions: their checks.
        request: the request sent to the server.
        answer: its answer.
        seconds: how long each stage took.
    """

    corpus: CorpusSummary
    pretraining: Pretraining
    finetuning: FineTuning
    conversions: Sequence[Conversion]
    request: str
    answer: str
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def sampled(self) -> bool:
        """Whether only a sample of the files was read."""
        return self.corpus.parameters["share"] < 1


def write_demo_report(path: Path, run: DemoRun, *, overwrite: bool = False) -> Path:
    """Writes the demo's `report.html`.

    Args:
        path: the file.
        run: what was measured.
        overwrite: replace a file that is there.
    """
    sample = (
        f"This run read a sample, {run.corpus.parameters['share']:.0%} of the files, "
        "and used one seed. "
    )
    lead = (
        "A BERT pretrained, fine-tuned, converted and served on one computer, from "
        "the documentation installed there."
    )
    sections = [
        summary(run),
        corpus(run.corpus),
        pretraining(run.pretraining),
        filled_masks(run.pretraining),
        attention(run.pretraining),
        finetuning(run.finetuning),
        conversions(run.conversions),
        serving(run),
        timing(run.seconds),
    ]
    lead = sample + lead if run.sampled else lead
    return write_report(
        path, "From raw text to a served BERT", sections, lead=lead, overwrite=overwrite
    )


def summary(run: DemoRun) -> Section:
    below = run.pretraining.unigram_entropy - run.pretraining.heldout_mlm_loss
    passed = sum(check.passed for check in run.conversions)
    numbers = {
        "nats, masked-LM loss below unigram entropy, held-out text": f"{below:.2f}",
        "test accuracy of the fine-tuned model": mean(run.finetuning.pretrained),
        "test accuracy of the same model from random weights": mean(
            run.finetuning.from_random
        ),
        "conversions exact": f"{passed} of {len(run.conversions)}",
    }
    return Section("Summary", [Numbers(numbers)])


def corpus(found: CorpusSummary) -> Section:
    total = sum(found.megabytes.values())
    versions = found.parameters["packages"]
    rows = [[n, versions[n], f"{mb:.2f}"] for n, mb in found.megabytes.items()]
    text = (
        f"The docstrings of {found.counts['files']:,} source files, read without "
        f"importing them: {found.counts['train_sentences']:,} sentences to train on, "
        f"{found.counts['heldout_sentences']:,} held out. Whole modules are held out, "
        "and no sentence appears twice."
    )
    table = Table(
        ["package", "version", "MB"],
        [*rows, ["total", "", f"{total:.2f}"]],
        emphasized=[len(rows)],
    )
    return Section("Corpus", [Text(text), table])


def pretraining(result: Pretraining) -> Section:
    rows = [
        ["masked-LM loss, nats per masked token", f"{result.heldout_mlm_loss:.3f}"],
        ["unigram entropy of the same tokens, nats", f"{result.unigram_entropy:.3f}"],
        ["masked-LM accuracy", f"{result.heldout_mlm_accuracy:.1%}"],
        ["next-sentence accuracy", f"{result.heldout_nsp_accuracy:.1%}"],
    ]
    text = (
        "The unigram entropy is the loss of the best model that ignores context, "
        "fitted to the held-out tokens themselves. A lower loss shows that the model "
        "uses context."
    )
    settings = [[name, value] for name, value in result.settings.items()]
    return Section(
        "Pretraining",
        [
            Table(["on held-out text", ""], rows),
            Text(text),
            Picture(result.curves, "Loss and accuracy over the steps of pretraining."),
            Table(["setting", ""], settings),
        ],
    )


def filled_masks(result: Pretraining) -> Section:
    text = (
        "Sentences of held-out modules. The marked word was masked; below are the "
        "model's best guesses, the correct one in green."
    )
    return Section(
        "Predictions for masked words", [Text(text), FilledMasks(result.filled)]
    )


def attention(result: Pretraining) -> Section:
    caption = f"Attention of every head for “{result.attention_text}”"
    return Section("Attention", [Picture(result.attention, caption)])


def finetuning(result: FineTuning) -> Section:
    rows = [
        ["always the most frequent class", f"{result.majority:.1%}", ""],
        ["logistic regression on TF-IDF", f"{result.tfidf:.1%}", ""],
        [
            "the model from random weights",
            mean(result.from_random),
            seeds(result.from_random),
        ],
        ["the pretrained model", mean(result.pretrained), seeds(result.pretrained)],
    ]
    text = (
        "Which package does a docstring come from: "
        f"{', '.join(result.labels)}? The names of the packages are removed from the "
        "text; the test docstrings are from modules seen neither in pretraining nor in "
        "fine-tuning."
    )
    table = Table(["", "test accuracy", "by seed"], rows, emphasized=[3])
    return Section("Fine-tuning", [Text(text), table])


def conversions(checks: Sequence[Conversion]) -> Section:
    rows = [
        [
            check.name,
            f"{check.weight_difference:.1e}" if check.weight_difference else "0",
            f"{check.output_difference:.1e}" if check.output_difference else "0",
            f"≤ {check.bound:.0e}",
            "yes" if check.passed else "NO",
        ]
        for check in checks
    ]
    columns = [
        "conversion",
        "weights differ by",
        "outputs differ by",
        "bound",
        "passed",
    ]
    text = (
        "Every artifact was read from disk by another process. The table shows the "
        "largest differences of weights, and of outputs in float32."
    )
    return Section("Conversions", [Text(text), Table(columns, rows)])


def serving(run: DemoRun) -> Section:
    text = "A request to the exported SavedModel over TF Serving's REST API:"
    return Section("Serving", [Text(text), Code(run.request), Code(run.answer)])


def timing(seconds: Mapping[str, float]) -> Section:
    rows = [[stage, f"{value:,.1f}"] for stage, value in seconds.items()]
    rows.append(["total", f"{sum(seconds.values()):,.1f}"])
    return Section(
        "Time", [Table(["stage", "seconds"], rows, emphasized=[len(rows) - 1])]
    )


def mean(by_seed: Mapping[int, float]) -> str:
    """Returns the mean and, for several seeds, the standard deviation."""
    values = list(by_seed.values())
    spread = f" ± {statistics.stdev(values):.1%}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1%}{spread}"


def seeds(by_seed: Mapping[int, float]) -> str:
    """Returns the accuracy of each seed."""
    return ", ".join(f"{value:.1%}" for value in by_seed.values())
