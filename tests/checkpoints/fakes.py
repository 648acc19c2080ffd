"""Small checkpoints made from the table of weights, with odd, distinct sizes."""

from pathlib import Path

import numpy as np

from keras_bert import axes, families
from keras_bert.checkpoints import formats
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.checkpoints.conversion import save
from keras_bert.families import bert
from keras_bert.families.bert import BertConfig
from tests.vocabulary import SPECIAL

SLOTS = {"adam": ("adam_m", "adam_v"), "lamb": ("LAMB", "LAMB_1")}
COUNTERS = {"adam": ("global_step",), "lamb": ("beta1_power", "beta2_power")}
VOCABULARY = [*SPECIAL, *map(chr, range(97, 123))]


def tiny_config(**changes) -> BertConfig:
    sizes = dict(
        vocab_size=37,
        hidden_size=15,
        num_attention_heads=3,
        num_hidden_layers=2,
        intermediate_size=22,
        max_position_embeddings=11,
        type_vocab_size=2,
        hidden_act="gelu_new",
        num_labels=7,
    )
    return BertConfig(**sizes | changes)


def holds(to: str, head: str) -> bool:
    """Whether a format has a place for every weight of a head."""
    rows = [row for part in bert.BERT.parts_of(head) for row in bert.BERT.parts[part]]
    return all(to in row.placements for row in rows)


def meet(one: str, other: str, head: str) -> bool:
    """Whether two formats can hold the same model with this head."""
    # KerasHub's masked-LM head computes with numbers that only our own format names.
    apart = "keras_hub" in (one, other) and "keras" not in (one, other)
    masked = "masked_lm" in bert.BERT.parts_of(head)
    return holds(one, head) and holds(other, head) and not (masked and apart)


def config_for(head: str, *among: str, **changes) -> BertConfig:
    """A config that these formats can say, with this head."""
    if "keras_hub" in among and "masked_lm" in bert.BERT.parts_of(head):
        changes = {**bert.BERT.keras_hub.masked_lm_numbers, **changes}
    return tiny_config(**changes)


def fake_tensors(
    config: BertConfig, head: str, to: str, seed: int = 0, dtype="float32"
) -> dict[str, Tensor]:
    family, rng = families.of(config), np.random.default_rng(seed)
    rows = [
        row
        for part in dict.fromkeys((*family.body(config), *family.parts_of(head)))
        for row in family.rows_of([part], config)
    ]
    sizes = family.sizes(config)
    return {
        row.placements[to].name: Tensor.of(
            rng.normal(size=axes.shape(row.placements[to].axes, sizes)).astype(dtype)
        )
        for row in rows
    }


def write_fake(
    folder: Path,
    to: str,
    head: str = "BertForPreTraining",
    config: BertConfig | None = None,
    change=None,
    **options,
) -> Path:
    """Writes a checkpoint; `change` may alter its dict of arrays first."""
    config = config or tiny_config()
    tensors = fake_tensors(config, head, to, **options)
    if change:
        change(tensors)
    folder.mkdir(parents=True, exist_ok=True)
    save(folder, to, config, head, tensors)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return folder


def write_trained(
    folder: Path,
    kind: str = "adam",
    head: str = "BertForPreTraining",
    to: str = "google",
    **changes,
) -> Path:
    """A checkpoint with the state that training left, different for every tensor."""
    config = tiny_config(**changes)
    tensors = fake_tensors(config, head, to)
    slots = {
        f"{name}/{slot}": Tensor.of(np.abs(tensor.load()) * factor)  # a mean of squares
        for name, tensor in tensors.items()
        for factor, slot in enumerate(SLOTS[kind], start=2)
    }
    counters = {
        name: Tensor.of(np.array(20, "i8" if name == "global_step" else "f4"))
        for name in COUNTERS[kind]
    }
    folder.mkdir()
    save(folder, to, config, head, tensors, optimizer=slots | counters)
    return folder


def values(path: Path) -> dict[str, np.ndarray]:
    tensors = formats.read(path).tensors
    return {name: tensor.load() for name, tensor in tensors.items()}


def assert_same_bits(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.dtype == other[name].dtype, name
        assert value.shape == other[name].shape, name
        assert value.tobytes() == other[name].tobytes(), name


def contents_of(folder: Path) -> dict[str, bytes]:
    """Every file below a directory, to show that nothing changed."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }
