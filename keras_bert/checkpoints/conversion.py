"""Conversion: read, match every tensor, translate, write, verify, report."""

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

from keras_bert import families
from keras_bert.checkpoints import files, formats, reference
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.checkpoints.files import OPTIMIZER_STATE
from keras_bert.checkpoints.matching import (
    OPTIMIZER,
    Contents,
    head_class,
    leave_out,
    listing,
    parameters,
    resolve_contents,
)
from keras_bert.checkpoints.translation import translate, translate_optimizer
from keras_bert.config import ACTIVATIONS, GELU_FORMS, Config
from keras_bert.errors import CheckpointError, choose
from keras_bert.hub import local_path
from keras_bert.version import __version__

# Relative to an output's largest value. Float32 sums in another order differ far less;
# the smallest known mistake, the wrong form of gelu, differs more.
TOLERANCE = 5e-5
Verifier = Callable[
    [Checkpoint, Checkpoint, str, Mapping[str, np.ndarray]],
    dict[str, np.ndarray] | None,
]
log = logging.getLogger(__name__)

# === Conversion ===


@dataclass
class Report:
    """What a conversion did.

    Args:
        source, target: paths.
        source_format, target_format: their formats.
        head: the model class.
        parts: the parts converted.
        weights: number of tensors.
        parameters: number of values in them.
        ignored: tensors left behind: the reason by name.
        optimizer: number of tensors kept of every slot and counter.
        differences: by verifier, the largest difference of an output on probe inputs
            from the source's; "reference" is the forward pass in NumPy.
        largest_difference: of these; None if nothing was run.
        warnings: where the result's own library will differ from the source.
        sha256: of every file read and written, by path.
        versions: of the libraries used.
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
        """Returns the report in a few lines of text."""
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
            return "Outputs were not compared."
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
    strict: bool = False,
    overwrite: bool = False,
    verify: bool = True,
    verifiers: Mapping[str, Verifier] | None = None,
) -> Report:
    """Converts a checkpoint into another format.

    Args:
        source: a directory, a weights file, or a TensorFlow prefix, of any format.
        output: the directory to write; it appears whole or not at all.
        to: a name of `keras_bert.checkpoints.formats.FORMATS`.
        head: the model class, if the files do not name it; for instance
            "token_classification" for a Google checkpoint.
        gelu: "erf" or "tanh": the form that a checkpoint of Google or the Model Garden
            was trained with. Another format names its form: this one is then written in
            its place, which changes the outputs; the report says by how much.
        file_format: of Hugging Face weights, "safetensors" or "bin".
        max_shard_size: of a file of weights, in bytes or as "5GB"; None takes the
            format's default.
        drop: names of tensors or parts to leave behind; "optimizer" for all of the
            optimizer's state.
        config_file: the source's config, if it is not next to the weights.
        strict: refuse tensors that belong to no part, which are otherwise left behind
            with a warning.
        overwrite: replace an existing checkpoint directory.
        verify: run source and result on probe inputs and compare the outputs.
        verifiers: other implementations that must compute the same outputs, by name;
            see `keras_bert.verification`.

    Returns:
        The report, also written as `conversion.json`.

    Raises:
        CheckpointError: a tensor is missing, unexpected or misshapen; a file is
            damaged; or the outputs of source and result differ.
        ExistingOutputError: the output already exists.

    Example:
        >>> convert("uncased_L-12_H-768_A-12", "out", "huggingface")  # doctest: +SKIP
    """
    choose("format", to, formats.FORMATS)
    options = dict(head=head, config_file=config_file, drop=drop, strict=strict)
    source = local_path(source)
    in_doubt = formats.detect(source) in formats.GELU_IN_DOUBT
    checkpoint = formats.read(source, gelu=gelu if in_doubt else None, **options)
    contents = resolve_contents(checkpoint)
    changes = [] if in_doubt or not gelu else _change_gelu(checkpoint, contents, gelu)
    if OPTIMIZER not in formats.options(to) and checkpoint.optimizer:
        leave_out(checkpoint, [OPTIMIZER])
    config = checkpoint.config
    _check_class(head, contents, config)
    _refuse_unplaced(contents, to, config)
    meant = contents.rows, checkpoint.format, to, config
    with files.new_directory(output, overwrite, Path(source)) as folder:
        warnings = changes + save(
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
        warnings += formats.save_modules(to, checkpoint.sentence_modules, folder)
        report = _report(checkpoint, contents, output, to, warnings, folder)
        if verify or verifiers:
            report.differences = verify_outputs(
                checkpoint, contents, folder, verifiers or {}
            )
            report.largest_difference = max(report.differences.values())
        report.versions = _versions()
        files.write_json(folder / "conversion.json", dataclasses.asdict(report))
    return report


def strip(
    source: str | Path,
    output: str | Path,
    *,
    head: str | None = None,
    drop: Collection[str] = (),
    config_file: str | Path | None = None,
    strict: bool = False,
    overwrite: bool = False,
) -> tuple[Report, int]:
    """Rewrites a checkpoint in its own format without optimizer state.

    Args:
        source: a directory, a weights file, or a TensorFlow prefix.
        output: the directory to write; it appears whole or not at all.
        head: the model class, if the files do not name it.
        drop: names of further tensors or parts to leave behind.
        config_file: the source's config, if it is not next to the weights.
        strict: refuse tensors that belong to no part.
        overwrite: replace an existing checkpoint directory.

    Returns:
        The report, and how many bytes smaller the files of weights are.

    Raises:
        CheckpointError: there is no such state, or the checkpoint is incomplete.

    Example:
        >>> strip("model.ckpt-20", "out")  # doctest: +SKIP
    """
    options = dict(head=head, config_file=config_file, strict=strict)
    source = local_path(source)
    to = formats.detect(source)
    drop = dict.fromkeys([OPTIMIZER, *drop])
    report = convert(source, output, to, drop=drop, overwrite=overwrite, **options)
    before = formats.read(source, config_file=config_file).files
    after = formats.read(output).files
    return report, files.total_size(before) - files.total_size(after)


def _check_class(head: str | None, contents: Contents, config: Config) -> None:
    """Raises if the parts are not those of the class that was asked for."""
    if head is None or head_class(head, config) == contents.head:
        return
    raise CheckpointError(
        f"Expected the parts of a {head_class(head, config)}. Received: "
        f"{', '.join(contents.parts)}, which make a {contents.head}. Drop some by name "
        "(drop=, --drop), or name that class."
    )


def _change_gelu(checkpoint: Checkpoint, contents: Contents, form: str) -> list[str]:
    """Changes the form of gelu in the config; returns what that does to the outputs."""
    act = GELU_FORMS[choose("gelu form", form, GELU_FORMS)]
    config = checkpoint.config
    before = ACTIVATIONS[config.hidden_act]
    if before not in GELU_FORMS.values():
        raise CheckpointError(
            f"Expected a model with gelu in {checkpoint.path}, as its form is to be "
            f"changed. Received: hidden_act={config.hidden_act!r}. Leave gelu out."
        )
    if before == act:
        return []
    changed = dataclasses.replace(checkpoint, config=config.replace(hidden_act=act))
    inputs = reference.probe(config)
    sides = [_run_reference(c, c, contents.head, inputs) for c in (checkpoint, changed)]
    checkpoint.config = changed.config
    size = "by an amount that was not measured"
    if sides[0] is not None:
        apart = max(_apart(value, sides[1][name]) for name, value in sides[0].items())
        size = f"by up to {apart:.1e} on probe inputs"
    text = f"gelu is written as {act}, not {before}: outputs change {size}."
    log.warning(text)
    return [text]


def _refuse_unplaced(contents: Contents, to: str, config: Config) -> None:
    """Raises if the target format cannot hold all parts, and names the others."""
    family = families.of(config)
    rows = {part: family.rows_of([part], config) for part in contents.parts}
    unplaced = {p: [r for r in rows[p] if to not in r.placements] for p in rows}
    lost = {
        p: [r.placements["keras"].name for r in u] for p, u in unplaced.items() if u
    }
    if lost:
        names = "; ".join(f"{listing(names)} ({part})" for part, names in lost.items())
        raise CheckpointError(
            f"Expected a format that can hold the model. Received: the format {to!r}, "
            f"which has no place for {names}. Choose another, or leave "
            f"{', '.join(lost)} behind (drop=, --drop)."
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
            `optimizer` (tensors by the format's names). A format ignores options that
            it does not have.

    Returns:
        Warnings, also logged.
    """
    config = formats.normalize_config(to, config, head)
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
    """Runs a source and its result, reread from disk, on probe inputs.

    Args:
        checkpoint: the source.
        contents: what it holds.
        folder: the result.
        verifiers: other implementations, by name. Each is given source, result, the
            model class and the inputs, and returns outputs by the names of
            `reference.outputs`, or None if it cannot compute them.

    Returns:
        By verifier, the largest difference of an output from the source's. The source
        is computed by the NumPy reference, or else by the first verifier that can.

    Raises:
        CheckpointError: the outputs differ, or no verifier can compute them.
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
            f"Expected a verifier that computes a {head}. Received: "
            f"{', '.join(verifiers)}, which cannot. Verify with the Keras model "
            "(verifiers=keras_bert.verification.VERIFIERS, --verify full), or not at "
            "all (verify=False, --verify none)."
        )
    first, expected = computed
    found = {who: run(who, result) for who in verifiers}
    if found[first].keys() != expected.keys():
        _raise_difference(checkpoint, first, expected.keys() ^ found[first].keys())
    return {
        who: _compare(checkpoint, who, expected, outputs)
        for who, outputs in found.items()
        if outputs is not None
    }


def _run_reference(
    source: Checkpoint, result: Checkpoint, head: str, probe: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray] | None:
    """Runs the NumPy reference, unless it does not use all of the weights."""
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
    """Returns the largest difference of an output; raises if one is too large."""
    apart = {name: _apart(expected[name], found[name]) for name in sorted(found)}
    # `not <=`, so that NaN is an error too.
    wrong = [n for n in apart if not apart[n] <= TOLERANCE * _scale(expected[n])]
    if wrong:
        _raise_difference(
            checkpoint, who, [f"{name} {apart[name]:.1e}" for name in wrong]
        )
    return max(apart.values())


def _raise_difference(checkpoint: Checkpoint, who: str, listing: Iterable[str]) -> None:
    raise CheckpointError(
        f"Expected {checkpoint.path} and its conversion to compute the same outputs. "
        f"Received different ones ({who}): {', '.join(sorted(listing))}. Nothing was "
        "written."
    )


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other.reshape(one.shape)).max())


def _scale(values: np.ndarray) -> float:
    return max(1.0, float(np.abs(values).max()))


def _versions() -> dict[str, str]:
    """Returns the versions of this package and of the libraries loaded."""
    names = ("numpy", "tensorflow", "torch", "safetensors", "h5py", "einops")
    used = [name for name in names if name in sys.modules]
    return {
        "keras_bert": __version__,
        "python": sys.version.split()[0],
        **{name: importlib.metadata.version(name) for name in used},
    }
