"""Google's TF1 checkpoints: `bert_model.ckpt.*` and `bert_config.json`.

Source: google-research/bert `modeling.py`, `optimization.py`, `run_*.py`, and the
repositories that took them over, with their own `<family>_config.json`.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_bert import families
from keras_bert.atomic_files import new_files
from keras_bert.checkpoints import bundle, files, object_graph
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.config import ACTIVATIONS, GELU_FORMS, Config
from keras_bert.errors import CheckpointError, choose

FORMAT = "google"
PREFIX = "bert_model.ckpt"
STEP_PREFIX = "model.ckpt-{}"  # of a checkpoint of a training run
CONFIG_FILE = "bert_config.json"
NOTE = "checkpoint"
WORD_EMBEDDINGS = "embeddings/word_embeddings"
# An optimizer's slot is named after its variable.
SLOTS = (
    "adam_m",
    "adam_v",
    "LAMB",
    "LAMB_1",
    "AdamWeightDecayOptimizer",
    "AdamWeightDecayOptimizer_1",
    "Adam",
    "Adam_1",
)
COUNTERS = ("global_step", "beta1_power", "beta2_power")
# The keys of Google's own config; other numbers are constants in its code.
KEYS = (
    "attention_probs_dropout_prob",
    "hidden_act",
    "hidden_dropout_prob",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "type_vocab_size",
    "vocab_size",
)
# Google's `get_activation` knows these; its `gelu` is the tanh form.
ACTIVATION_NAMES = {"gelu_new": "gelu", "gelu": "gelu"} | {
    name: name for name in ("relu", "tanh", "linear")
}
OPTIONS = ("optimizer", "max_shard_size")  # of `write`
LAYER_NORM_EPS = 1e-12  # a constant in Google's code


# === Reading ===


def detect(path: Path) -> bool:
    """Whether a path is a TF1 checkpoint or a directory with one."""
    return is_prefix(path) and not object_graph.is_in(find_prefix(path))


def is_prefix(path: Path) -> bool:
    """Whether a path is a TensorFlow prefix or a directory with one."""
    if path.is_dir():
        return any(path.glob("*.index"))
    return path.suffix == ".index" or Path(f"{path}.index").is_file()


def find_prefix(path: Path) -> Path:
    """Returns the prefix of a checkpoint.

    Args:
        path: a prefix, its `.index` file, or a directory.

    Raises:
        CheckpointError: the directory has several, and no `checkpoint` file that names
            one of them.
    """
    if not path.is_dir():
        return path.with_suffix("") if path.suffix == ".index" else path
    named = latest(path)
    if named is not None:
        return named
    prefixes = [p.with_suffix("") for p in sorted(path.glob("*.index"))]
    if len(prefixes) > 1:
        raise CheckpointError(
            f"Expected one checkpoint in {path}. Received: "
            f"{', '.join(p.name for p in prefixes)}. Name one of them."
        )
    return prefixes[0]


def latest(folder: Path) -> Path | None:
    """Returns the prefix that TensorFlow's `checkpoint` file names, if it exists."""
    note = folder / NOTE
    if not note.is_file():
        return None
    text = note.read_text(encoding="utf-8", errors="replace")
    found = re.search(r'^model_checkpoint_path: "(.*)"', text, re.MULTILINE)
    # Directories move; the file's name does not.
    prefix = folder / Path(found[1]).name if found else None
    return prefix if prefix and Path(f"{prefix}.index").is_file() else None


def read(
    path: Path,
    *,
    gelu: str | None = None,
    config_file: str | Path | Config | None = None,
) -> Checkpoint:
    """Opens a TF1 checkpoint.

    Args:
        path: a prefix or a directory.
        gelu: "erf" or "tanh", overriding what the config says.
        config_file: the `bert_config.json`, if it is elsewhere, or a config.

    Raises:
        CheckpointError: it is damaged or not a TF1 checkpoint.
    """
    prefix = find_prefix(path)
    # Training writes to the directory of the config or below it.
    places = (prefix.parent, prefix.parent.absolute().parent)
    config, head = files.read_config(_config_files(), places, config_file)
    tensors = _tensors(prefix)
    tensors = _without_wrapper(tensors, config, prefix)
    config = _with_classes(with_gelu(config, gelu), tensors)
    optimizer, ignored = _training_state(tensors, config)
    others = optimizer.keys() | ignored.keys()
    return Checkpoint(
        path=path,
        format=FORMAT,
        config=config,
        tensors={k: t for k, t in tensors.items() if k not in others},
        head=head,
        ignored=ignored,
        optimizer=optimizer,
        files=[
            *sorted(prefix.parent.glob(f"{prefix.name}.data-*")),
            Path(f"{prefix}.index"),
        ],
        tokenizer_files=files.tokenizer_files(*places),
    )


def _config_files() -> list[str]:
    """Returns the names of config files; each of Google's families has its own."""
    known = families.with_place_in(FORMAT)
    return [*dict.fromkeys([CONFIG_FILE, *(f.config_file for f in known)])]


def _tensors(prefix: Path) -> dict[str, Tensor]:
    tensors = bundle.read(prefix)
    if "_CHECKPOINTABLE_OBJECT_GRAPH" in tensors:
        raise CheckpointError(
            f"Expected a TF1 checkpoint at {prefix}. Received a TF2 object checkpoint."
        )
    return tensors


def with_gelu(config: Config, gelu: str | None) -> Config:
    """Returns a config that names the form of gelu: Google's `gelu` is the tanh form.

    Args:
        config: as it is in its file.
        gelu: "erf" or "tanh", overriding what the file says.
    """
    extra = dict(config.extra)
    form = gelu or extra.pop("gelu_form", "tanh")
    extra.pop("gelu_form", None)
    hidden_act = ACTIVATIONS[config.hidden_act]
    if hidden_act == "gelu":
        hidden_act = GELU_FORMS[choose("gelu form", form, GELU_FORMS)]
    return config.replace(hidden_act=hidden_act, extra=extra)


def _with_classes(config: Config, tensors: Mapping[str, Tensor]) -> Config:
    """Takes the number of labels from the output layer: Google's config has none."""
    weights = tensors.get("output_weights")
    if weights is None or config.id2label is not None or not weights.shape:
        return config
    return config.replace(num_labels=weights.shape[0])


def _without_wrapper(
    tensors: Mapping[str, Tensor], config: Config, path: Path
) -> dict[str, Tensor]:
    """Removes what a wrapper of the model put before all names."""
    first, *_ = families.of(config).names_in(FORMAT, config) or [WORD_EMBEDDINGS]
    base = first.removesuffix(WORD_EMBEDDINGS)
    found = files.prefix_of(tensors, WORD_EMBEDDINGS, base or "/", path) or ""
    wrapper = found.removesuffix(base)
    return {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}


def _training_state(
    tensors: Mapping[str, Tensor], config: Config
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Returns optimizer slots and counters, and why other tensors are no weights.

    What is stored below a weight's name is about that weight; a single number that is
    not in the model belongs to the training program.
    """
    names = {*families.of(config).names_in(FORMAT, config)}
    scopes = {name.split("/")[0] for name in names}
    optimizer, ignored = {}, {}
    for name in tensors.keys() - names:
        weight = _weight_above(name, names)
        slot = name.removeprefix(f"{weight}/")
        if slot in SLOTS or name in COUNTERS:
            optimizer[name] = tensors[name]
        elif weight:
            ignored[name] = files.OPTIMIZER_STATE
        elif not tensors[name].shape and name.split("/")[0] not in scopes:
            ignored[name] = "a number of the training program"
    return optimizer, ignored


def _weight_above(name: str, weights: Collection[str]) -> str | None:
    """Returns the weight below whose name another one is."""
    ends = (i for i, char in enumerate(name) if char == "/")
    return next((name[:end] for end in ends if name[:end] in weights), None)


# === Writing ===


def write(
    folder: Path,
    config: Config,
    head: str,
    tensors: Mapping[str, Tensor],
    *,
    optimizer: Mapping[str, Tensor] | None = None,
    max_shard_size: int | None = None,
) -> list[str]:
    """Writes `bert_model.ckpt.*`, `checkpoint` and `bert_config.json`.

    Args:
        folder: an existing directory.
        config: the model's config.
        head: its class, kept in the config as an extra key.
        tensors: by Google's names.
        optimizer: slots and counters, by Google's names.
        max_shard_size: bytes of a data file; None for a single one.

    Returns:
        Warnings about what Google's own code ignores.

    Raises:
        CheckpointError: Google's code has no such activation, or would not project the
            embeddings.
    """
    values, warnings = to_google_config(config, head)
    files.write_json(folder / CONFIG_FILE, values)
    everything = {**tensors, **(optimizer or {})}
    bundle.write(folder / PREFIX, everything, max_shard_size)
    write_note(folder)
    return warnings


def write_note(folder: Path, prefixes: Sequence[str] = (PREFIX,)) -> None:
    """Writes the `checkpoint` file, in which TensorFlow finds the latest prefix."""
    paths = [("model_checkpoint_path", prefixes[-1])]
    paths += [("all_model_checkpoint_paths", prefix) for prefix in prefixes]
    note = "".join(f'{key}: "{prefix}"\n' for key, prefix in paths)
    (folder / NOTE).write_text(note, encoding="utf-8")


def write_step(
    folder: Path, step: int, tensors: Mapping[str, Tensor], keep: int = 5
) -> None:
    """Writes a checkpoint of a training run, `model.ckpt-<step>`, as its latest.

    Args:
        folder: of the run.
        step: number of completed steps.
        tensors: weights, slots and counters, by Google's names.
        keep: number of recent checkpoints to keep, as TensorFlow's Estimator does.
    """
    before = [other for other in steps_in(folder) if other != step]
    first = max(0, len(before) + 1 - keep)  # to be kept
    new, *old = (STEP_PREFIX.format(other) for other in (step, *before[first:]))
    names = [bundle.data_file(Path(new), 0, 1).name, f"{new}.index", NOTE]
    with new_files(folder, names, overwrite=True) as partial:
        bundle.write(partial / new, tensors)
        write_note(partial, [*old, new])
    for gone in before[:first]:
        for path in folder.glob(f"{STEP_PREFIX.format(gone)}.*"):
            path.unlink()


def steps_in(folder: Path) -> list[int]:
    """Returns the steps that have a checkpoint of a training run, ascending."""
    names = (path.stem.rpartition("-") for path in folder.glob("model.ckpt-*.index"))
    return sorted(int(step) for _, _, step in names if step.isdecimal())


def to_google_config(config: Config, head: str) -> tuple[dict[str, Any], list[str]]:
    """Returns a `bert_config.json`, and warnings about what Google's code ignores.

    It has all of Google's keys, and those of the others that differ from the default.
    """
    hidden_act = ACTIVATIONS[config.hidden_act]
    if hidden_act not in ACTIVATION_NAMES:
        raise CheckpointError(
            f"Expected an activation of Google's code: {', '.join(ACTIVATION_NAMES)}. "
            f"Received: {config.hidden_act!r}. Convert to another format."
        )
    if config.projects_embeddings and config.embedding_width == config.hidden_size:
        raise CheckpointError(
            "Expected embeddings of another width than hidden_size: Google's code "
            "projects no others. Received: embedding_size=hidden_size="
            f"{config.hidden_size}. Convert to another format."
        )
    values = config.to_dict()
    family = families.of(config)
    plain = family.config().to_dict()
    changed = {k: v for k, v in values.items() if k not in plain or v != plain[k]}
    kept = {k: values[k] for k in KEYS} | changed
    kept["hidden_act"] = ACTIVATION_NAMES[hidden_act]
    if hidden_act == "gelu":
        kept["gelu_form"] = "erf"
    if family != families.of(families.read_config({})):
        kept["model_type"] = family.model_type
    if family.models.get(head) != "encoder":
        kept["architectures"] = [head]
    return kept, _ignored_settings(config, hidden_act)


def _ignored_settings(config: Config, hidden_act: str) -> list[str]:
    rules = {
        "The erf form of gelu is kept in the key gelu_form; Google's own code runs the "
        "tanh form, up to about 1e-3 apart in hidden states.": hidden_act == "gelu",
        f"layer_norm_eps={config.layer_norm_eps} is kept in the config; Google's own "
        f"code always uses {LAYER_NORM_EPS}.": config.layer_norm_eps != LAYER_NORM_EPS,
        "is_decoder is kept in the config; Google's own code has no causal "
        "attention.": config.is_decoder,
    }
    return [text for text, holds in rules.items() if holds]
