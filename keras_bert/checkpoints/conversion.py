"""Conversion: read, account for every tensor, rearrange, write, check, report."""

import dataclasses
import importlib.metadata
import logging
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_bert.checkpoints import files, formats, reference
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.checkpoints.files import OPTIMIZER_STATE
from keras_bert.checkpoints.matching import (
    Contents,
    head_class,
    parameters,
    resolve_contents,
)
from keras_bert.checkpoints.translation import translate, translate_optimizer
from keras_bert.config import Config
from keras_bert.errors import CheckpointError, choose
from keras_bert.version import __version__

# Of an output's largest value. Float32 sums taken in another order stay far below; the
# smallest mistake known, the wrong form of gelu, is above.
TOLERANCE = 5e-5
OPTIMIZER = "optimizer"  # its state, as a name to drop
Verifier = Callable[
    [Checkpoint, Checkpoint, str, Mapping[str, np.ndarray]],
    dict[str, np.ndarray] | None,
]
log = logging.getLogger(__name__)

# === A whole conversion ===


@dataclass
class Report:
    """What a conversion did.

    Args:
        source, target: paths.
        source_format, target_format: their formats.
        head: the model class.
        parts: the parts converted.
        weights: number of tensors.
        parameters: numbers in them.
        optimizer: number of tensors kept of every slot and counter.
        ignored: tensors left behind, by name, with the reason.
        differences: of outputs on probe inputs to the source's, the largest, by who
            computed them: "reference" is the forward pass in NumPy.
        largest_difference: of these; None if none was measured.
        warnings: what the result's own library will not do as the source does.
        sha256: of every file of weights, by path.
        versions: of what was used.
    """

    source: str
    target: str
    source_format: str
    target_format: str
    head: str
    parts: list[str]
    weights: int
    parameters: int
    ignored: dict[str, str] = field(default_factory=dict)
    optimizer: dict[str, int] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)
    largest_difference: float | None = None
    warnings: list[str] = field(default_factory=list)
    sha256: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """Returns a few lines for people."""
        lines = [
            f"{self.source} ({self.source_format}) -> "
            f"{self.target} ({self.target_format})",
            f"{self.head}: {', '.join(self.parts)}",
            f"{self.weights} weights, {self.parameters:,} parameters",
            *_kept(self.optimizer),
            *(f"Left behind: {text}" for text in _by_reason(self.ignored)),
            *(f"Warning: {text}" for text in self.warnings),
            self._checked(),
        ]
        return "\n".join(lines)

    def _checked(self) -> str:
        if self.largest_difference is None:
            return "Not checked."
        by_whom = ", ".join(f"{name} {d:.1e}" for name, d in self.differences.items())
        return (
            f"Largest difference of outputs: {self.largest_difference:.1e} ({by_whom})"
        )


def _kept(optimizer: Mapping[str, int]) -> list[str]:
    counts = ", ".join(f"{n} {name}" for name, n in optimizer.items())
    return [f"Optimizer state: {counts}"] if counts else []


def _by_reason(ignored: Mapping[str, str]) -> list[str]:
    lines = []
    for reason in dict.fromkeys(ignored.values()):
        names = [name for name, why in ignored.items() if why == reason]
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        lines.append(f"{', '.join(names[:2])}{more} ({reason})")
    return lines


def convert(
    source: str | Path,
    output: str | Path,
    to: str,
    *,
    head: str | None = None,
    gelu: str | None = None,
    file_format: str = "safetensors",
    max_shard_size: int | str | None = None,
    drop: Collection[str] = (),
    config_file: str | Path | None = None,
    overwrite: bool = False,
    verify: bool = True,
    verifiers: Mapping[str, Verifier] | None = None,
) -> Report:
    """Converts a checkpoint into another format.

    Args:
        source: a directory, a weights file, or a TensorFlow prefix, of any format.
        output: the directory to write; it appears whole or not at all.
        to: a name of `keras_bert.checkpoints.formats.FORMATS`.
        head: the model class, where the files leave it open, for instance
            "token_classification" for a Google checkpoint.
        gelu: "erf" or "tanh": the form a Google checkpoint was trained with.
        file_format: of Hugging Face weights, "safetensors" or "bin".
        max_shard_size: of a file of weights, in bytes or as "5GB"; None takes the
            format's own.
        drop: names of tensors, or of parts, to leave behind; "optimizer" for all of
            an optimizer's state.
        config_file: the source's config, where it does not lie beside the weights.
        overwrite: replace an existing checkpoint directory.
        verify: run source and result on probe inputs and compare.
        verifiers: other implementations that must compute the same, by name; see
            `keras_bert.verification`.

    Returns:
        The report, also written as `conversion.json`.

    Raises:
        CheckpointError: a tensor is missing, unexpected or misshapen; a file is
            damaged; or source and result do not compute the same.
        ExistingOutputError: the output is there already.

    Example:
        >>> convert("uncased_L-12_H-768_A-12", "out", "huggingface")  # doctest: +SKIP
    """
    choose("format", to, formats.FORMATS)
    options = dict(head=head, gelu=gelu, config_file=config_file)
    checkpoint = formats.read(source, **options)
    contents = resolve_contents(checkpoint, _settle_optimizer(checkpoint, drop, to))
    config = checkpoint.config
    _insist(head, contents, config)
    meant = contents.rows, checkpoint.format, to, config
    with files.new_directory(output, overwrite, Path(source)) as folder:
        warnings = save(
            folder,
            to,
            config,
            contents.head,
            translate(checkpoint.tensors, *meant),
            file_format=file_format,
            max_shard_size=files.parse_size(max_shard_size),
            optimizer=translate_optimizer(checkpoint.optimizer, *meant),
        )
        copied, given = checkpoint.tokenizer_files, checkpoint.tokenizer_settings
        formats.copy_tokenizer(to, copied, folder, config, given)
        report = _report(checkpoint, contents, output, to, warnings, folder)
        if verify or verifiers:
            report.differences = verify_outputs(
                checkpoint, contents, folder, verifiers or {}
            )
            report.largest_difference = max(report.differences.values())
        report.versions = _versions()
        files.write_json(folder / "conversion.json", dataclasses.asdict(report))
    return report


def _settle_optimizer(
    checkpoint: Checkpoint, drop: Collection[str], to: str
) -> list[str]:
    """Leaves behind what is unwanted, or has no place, of an optimizer's state.

    Returns:
        The names to drop that are none of it.
    """
    state = checkpoint.optimizer
    if OPTIMIZER in drop and not has_optimizer(checkpoint):
        raise CheckpointError(
            f"Asked to drop the optimizer's state; {checkpoint.path} holds none."
        )
    homeless = OPTIMIZER in drop or OPTIMIZER not in formats.options(to)
    checkpoint.ignored |= dict.fromkeys(state if homeless else (), OPTIMIZER_STATE)
    checkpoint.ignored |= {n: "dropped by request" for n in drop if n in state}
    gone = checkpoint.ignored.keys()
    checkpoint.optimizer = {n: t for n, t in state.items() if n not in gone}
    return [name for name in drop if name != OPTIMIZER and name not in state]


def has_optimizer(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint holds an optimizer's state, in whatever form."""
    return bool(checkpoint.optimizer) or OPTIMIZER_STATE in checkpoint.ignored.values()


def strip(
    source: str | Path,
    output: str | Path,
    *,
    head: str | None = None,
    overwrite: bool = False,
) -> tuple[Report, int]:
    """Writes a checkpoint again, in its own format, without its optimizer's state.

    Args:
        source: a directory, a weights file, or a TensorFlow prefix.
        output: the directory to write; it appears whole or not at all.
        head: the model class, where the files leave it open.
        overwrite: replace an existing checkpoint directory.

    Returns:
        The report, and how many bytes of weights files were saved.

    Raises:
        CheckpointError: there is no such state, or the checkpoint is not whole.

    Example:
        >>> strip("model.ckpt-20", "out")  # doctest: +SKIP
    """
    to = formats.read(source).format
    report = convert(
        source, output, to, head=head, drop=[OPTIMIZER], overwrite=overwrite
    )
    before, after = (formats.read(path).files for path in (source, output))
    return report, files.total_size(before) - files.total_size(after)


def _insist(head: str | None, contents: Contents, config: Config) -> None:
    """Raises if the parts are not those of the class asked for by name."""
    if head is None or head_class(head, config) == contents.head:
        return
    raise CheckpointError(
        f"Expected the parts of a {head_class(head, config)}. Received: "
        f"{', '.join(contents.parts)}, which make a {contents.head}. Drop some by name "
        "(drop=, --drop), or ask for that class."
    )


def save(
    folder: Path,
    to: str,
    config: Config,
    head: str,
    tensors: Mapping[str, Tensor],
    **options: Any,
) -> list[str]:
    """Writes config and weights of one format into a directory.

    Args:
        folder: an existing directory.
        to: the format.
        config: the model's config.
        head: the model class' name.
        tensors: by the format's names.
        **options: of the format's `write`: `file_format`, `max_shard_size` (bytes),
            `optimizer` (tensors by the format's names). What a format does not know
            does not concern it.

    Returns:
        Warnings, also logged.
    """
    config = formats.settle(to, config, head)
    known = {k: v for k, v in options.items() if k in formats.options(to)}
    warnings = formats.module(to).write(folder, config, head, tensors, **known)
    for sentence in warnings:
        log.warning(sentence)
    return warnings


def _report(
    checkpoint: Checkpoint,
    contents: Contents,
    output: str | Path,
    to: str,
    warnings: list[str],
    folder: Path,
) -> Report:
    names = [row.placements[checkpoint.format].name for row in contents.rows]
    kept = [n for n in checkpoint.optimizer if _has_place(n, names)]
    lost = dict.fromkeys(checkpoint.optimizer.keys() - kept, OPTIMIZER_STATE)
    made = [path for path in sorted(folder.iterdir()) if path.is_file()]
    return Report(
        source=str(checkpoint.path),
        target=str(output),
        source_format=checkpoint.format,
        target_format=to,
        head=contents.head,
        parts=contents.parts,
        weights=len(names),
        parameters=parameters(checkpoint.tensors, names),
        optimizer=summarize_optimizer(kept),
        ignored=checkpoint.ignored | dict(sorted(lost.items())),
        warnings=warnings,
        sha256={
            **{str(path): files.sha256(path) for path in checkpoint.files},
            **{path.name: files.sha256(path) for path in made},
        },
    )


def _has_place(name: str, weights: Collection[str]) -> bool:
    weight = name.rpartition("/")[0]
    return not weight or weight in weights


def summarize_optimizer(names: Iterable[str]) -> dict[str, int]:
    """Counts the tensors of every slot and counter.

    Example:
        >>> summarize_optimizer(["a/adam_m", "b/adam_m", "global_step"])
        {'adam_m': 2, 'global_step': 1}
    """
    return dict(Counter(name.rpartition("/")[2] for name in sorted(names)))


# === Verification ===


def verify_outputs(
    checkpoint: Checkpoint,
    contents: Contents,
    folder: Path,
    verifiers: Mapping[str, Verifier],
) -> dict[str, float]:
    """Runs a source and its result, read from disk again, on probe inputs.

    Args:
        checkpoint: the source.
        contents: what it holds.
        folder: the result.
        verifiers: other implementations, by name. Each gets source, result, the
            model class and the inputs, and returns outputs by the names of
            `reference.outputs`, or None where it can compute neither.

    Returns:
        The largest difference of any output to the source's, by who computed it. The
        source is computed by the reference in NumPy, or by the first verifier where
        that does not know the model.

    Raises:
        CheckpointError: they do not compute the same, or nothing computes them.
    """
    result, head = formats.read(folder), contents.head
    probe = reference.probe(checkpoint.config)
    verifiers = {"reference": _run_reference, **verifiers}

    def run(who: str, opened: Checkpoint) -> dict[str, np.ndarray] | None:
        return verifiers[who](checkpoint, opened, head, probe)

    runs = ((who, run(who, checkpoint)) for who in verifiers)
    computed = next((pair for pair in runs if pair[1] is not None), None)
    if computed is None:
        raise CheckpointError(
            f"Expected a verifier that computes a {head}; the reference in NumPy does "
            "not. Verify with the Keras model (verifiers="
            "keras_bert.verification.VERIFIERS, --verify full), or not at all "
            "(verify=False, --verify none)."
        )
    first, expected = computed
    found = {who: run(who, result) for who in verifiers}
    if found[first].keys() != expected.keys():
        _refuse(checkpoint, first, expected.keys() ^ found[first].keys())
    return {
        who: _compare(checkpoint, who, expected, outputs)
        for who, outputs in found.items()
        if outputs is not None
    }


def _run_reference(
    source: Checkpoint, result: Checkpoint, head: str, probe: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray] | None:
    """Runs the result by the reference in NumPy, if that uses all of its weights."""
    try:
        return reference.outputs(result, head, probe)
    except reference.UnusedWeightsError:
        return None


def _compare(
    checkpoint: Checkpoint,
    who: str,
    expected: Mapping[str, np.ndarray],
    found: Mapping[str, np.ndarray],
) -> float:
    """The largest difference of the outputs found; raises if one is too large."""
    apart = {name: _apart(expected[name], found[name]) for name in sorted(found)}
    # `not <=` so that a NaN is noticed too.
    wrong = [n for n in apart if not apart[n] <= TOLERANCE * _scale(expected[n])]
    if wrong:
        _refuse(checkpoint, who, [f"{name} {apart[name]:.1e}" for name in wrong])
    return max(apart.values())


def _refuse(checkpoint: Checkpoint, who: str, listing: Iterable[str]) -> None:
    raise CheckpointError(
        f"Expected {checkpoint.path} and its conversion to compute the same. "
        f"Received outputs that differ ({who}): {', '.join(sorted(listing))}. Nothing "
        "was written."
    )


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other.reshape(one.shape)).max())


def _scale(values: np.ndarray) -> float:
    return max(1.0, float(np.abs(values).max()))


def _versions() -> dict[str, str]:
    """Versions of this package and of the libraries that were loaded."""
    names = ("numpy", "tensorflow", "torch", "safetensors", "h5py", "einops")
    used = [name for name in names if name in sys.modules]
    return {
        "keras_bert": __version__,
        "python": sys.version.split()[0],
        **{name: importlib.metadata.version(name) for name in used},
    }
