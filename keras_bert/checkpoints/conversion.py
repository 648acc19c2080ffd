"""Conversion: read, account for every tensor, rearrange, write, check, report."""

import dataclasses
import importlib.metadata
import logging
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_bert import families
from keras_bert.checkpoints import files, formats, reference
from keras_bert.checkpoints.accounting import Contents, account, head_class, parameters
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.checkpoints.table import Row, Slot, rearrange
from keras_bert.config import BertConfig
from keras_bert.errors import CheckpointError, choose
from keras_bert.version import __version__

# Of an output's largest value. Float32 sums taken in another order stay far below; the
# smallest mistake known, the wrong form of gelu, is above.
TOLERANCE = 5e-5
log = logging.getLogger(__name__)

# === The engine ===


def translate(
    tensors: Mapping[str, Tensor],
    rows: Iterable[Row],
    source: str,
    target: str,
    config: BertConfig,
) -> dict[str, Tensor]:
    """Gives weights another format's names and layout; nothing is read yet.

    Args:
        tensors: by the source format's names.
        rows: the weights meant.
        source: the format they are in.
        target: the format wanted.
        config: gives the sizes of the axes.

    Returns:
        Tensors by the target format's names.

    Raises:
        CheckpointError: the target format has no place for a weight.
    """
    sizes = families.of(config).sizes(config)
    rows = list(rows)
    homeless = [r.slots[source].name for r in rows if target not in r.slots]
    if homeless:
        raise CheckpointError(
            f"The format {target!r} has no place for {', '.join(homeless)}. Drop them "
            "by name, or choose another format."
        )
    slots = [(row.slots[source], row.slots[target]) for row in rows]
    return {to.name: _turned(tensors[at.name], at, to, sizes) for at, to in slots}


def _turned(tensor: Tensor, source: Slot, target: Slot, sizes: dict) -> Tensor:
    from keras_bert import axes

    return Tensor(
        axes.shape(target.axes, sizes),
        tensor.dtype,
        lambda: rearrange(tensor.load(), source, target, sizes),
    )


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
        ignored: tensors left behind, by name, with the reason.
        largest_difference: between outputs of source and result on probe inputs;
            None if it was not measured.
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
    largest_difference: float | None = None
    warnings: list[str] = field(default_factory=list)
    sha256: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """Returns a few lines for people."""
        difference = self.largest_difference
        lines = [
            f"{self.source} ({self.source_format}) -> "
            f"{self.target} ({self.target_format})",
            f"{self.head}: {', '.join(self.parts)}",
            f"{self.weights} weights, {self.parameters:,} parameters",
            *(f"Left behind: {text}" for text in _by_reason(self.ignored)),
            *(f"Warning: {text}" for text in self.warnings),
            "Not checked."
            if difference is None
            else f"Largest difference of outputs: {difference:.1e}",
        ]
        return "\n".join(lines)


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
    drop: Collection[str] = (),
    config_file: str | Path | None = None,
    overwrite: bool = False,
    verify: bool = True,
) -> Report:
    """Converts a checkpoint into another format.

    Args:
        source: a directory, a weights file, or a TensorFlow prefix, of any format.
        output: the directory to write; it appears whole or not at all.
        to: "huggingface", "google" or "keras".
        head: the model class, where the files leave it open, for instance
            "token_classification" for a Google checkpoint.
        gelu: "erf" or "tanh": the form a Google checkpoint was trained with.
        file_format: of Hugging Face weights, "safetensors" or "bin".
        drop: names of tensors, or of parts, to leave behind.
        config_file: the source's config, where it does not lie beside the weights.
        overwrite: replace an existing checkpoint directory.
        verify: run source and result on probe inputs and compare.

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
    contents = account(checkpoint, drop)
    _insist(head, contents, checkpoint.config)
    with files.new_directory(output, overwrite, Path(source)) as folder:
        tensors = translate(
            checkpoint.tensors, contents.rows, checkpoint.format, to, checkpoint.config
        )
        warnings = save(
            folder, to, checkpoint.config, contents.head, tensors, file_format
        )
        del tensors
        copied = checkpoint.tokenizer_files
        files.copy_tokenizer(copied, folder, checkpoint.config, describe=to != "google")
        report = _report(checkpoint, contents, output, to, warnings, folder)
        if verify:
            report.largest_difference = certify(checkpoint, contents, folder)
        report.versions = _versions()
        files.write_json(folder / "conversion.json", dataclasses.asdict(report))
    return report


def _insist(head: str | None, contents: Contents, config: BertConfig) -> None:
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
    config: BertConfig,
    head: str,
    tensors: Mapping[str, Tensor],
    file_format: str = "safetensors",
) -> list[str]:
    """Writes config and weights of one format into a directory.

    Args:
        folder: an existing directory.
        to: the format.
        config: the model's config.
        head: the model class' name.
        tensors: by the format's names.
        file_format: of Hugging Face weights.

    Returns:
        Warnings, also logged.
    """
    options = {"file_format": file_format} if to == "huggingface" else {}
    warnings = formats.module(to).write(folder, config, head, tensors, **options)
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
    names = [row.slots[checkpoint.format].name for row in contents.rows]
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
        ignored=checkpoint.ignored,
        warnings=warnings,
        sha256={
            **{str(path): files.sha256(path) for path in checkpoint.files},
            **{path.name: files.sha256(path) for path in made},
        },
    )


def certify(checkpoint: Checkpoint, contents: Contents, folder: Path) -> float:
    """Runs a source and its result, read from disk again, on probe inputs.

    Args:
        checkpoint: the source.
        contents: what it holds.
        folder: the result.

    Returns:
        The largest difference between any two outputs.

    Raises:
        CheckpointError: they do not compute the same.
    """
    result = formats.read(folder)
    probe = reference.probe(checkpoint.config)
    before = reference.outputs(checkpoint, contents.head, probe)
    after = reference.outputs(result, contents.head, probe)
    names = sorted(before.keys() | after.keys())
    apart = {name: _apart(before.get(name), after.get(name)) for name in names}
    # `not <=` so that a NaN is noticed too.
    wrong = [n for n in names if not apart[n] <= TOLERANCE * _scale(before.get(n))]
    if wrong:
        listing = ", ".join(f"{name} {apart[name]:.1e}" for name in wrong)
        raise CheckpointError(
            f"Expected {checkpoint.path} and its conversion to compute the same. "
            f"Received outputs that differ: {listing}. Nothing was written."
        )
    return max(apart.values())


def _apart(one: np.ndarray | None, other: np.ndarray | None) -> float:
    if one is None or other is None:
        return float("inf")
    return float(np.abs(one - other).max())


def _scale(values: np.ndarray | None) -> float:
    return 1.0 if values is None else max(1.0, float(np.abs(values).max()))


def _versions() -> dict[str, str]:
    """Versions of this package and of the libraries that were loaded."""
    names = ("numpy", "tensorflow", "torch", "safetensors", "h5py", "einops")
    used = [name for name in names if name in sys.modules]
    return {
        "keras_bert": __version__,
        "python": sys.version.split()[0],
        **{name: importlib.metadata.version(name) for name in used},
    }
