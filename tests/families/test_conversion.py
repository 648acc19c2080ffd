"""Hugging Face's directories of every family to ours and back, and who verified it."""

import json

import numpy as np
import pytest

from keras_bert import families
from keras_bert.checkpoints import convert, formats, inspect, reference
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.checkpoints.conversion import save
from keras_bert.checkpoints.matching import resolve_contents
from keras_bert.cli import main
from keras_bert.errors import CheckpointError
from keras_bert.families import FAMILIES
from keras_bert.families.names import vector
from keras_bert.verification import VERIFIERS
from tests.bounds import LARGEST, bound
from tests.checkpoints.fakes import assert_same_bits, fake_tensors, values
from tests.paths import SHARED, shared

SIZES = dict(
    vocab_size=37,
    hidden_size=18,
    num_attention_heads=3,
    num_hidden_layers=2,
    intermediate_size=22,
    max_position_embeddings=11,
    pad_token_id=1,
)
NAMES = sorted(FAMILIES)
WRITERS = (
    "hf_distilbert",
    *("hf_albert", "hf_deberta", "hf_electra", "hf_modernbert"),
    *("hf_mpnet", "hf_nomic_bert", "hf_roformer"),
    "hf_roberta",
    "hf_xlm_roberta",
    "hf457_roberta",
)
CASES = sorted(p.name for p in SHARED.glob("goldens/*") if p.name.startswith(WRITERS))


def _directory(folder, family: str, head: str = "encoder"):
    """A directory of Hugging Face's, with weights at random."""
    config = FAMILIES[family].config(**SIZES)
    head = FAMILIES[family].class_name(head)
    folder.mkdir()
    save(folder, "huggingface", config, head, fake_tensors(config, head, "huggingface"))
    return folder


@pytest.mark.parametrize("case", CASES or ["absent"])
def test_there_and_back_keeps_every_bit_and_every_output(case, tmp_path):
    source = shared("goldens", case)
    there = convert(source, tmp_path / "there", "keras", verifiers=VERIFIERS)
    assert list(there.differences) == ["reference", "keras", "transformers"]
    assert there.largest_difference <= bound(LARGEST)
    convert(tmp_path / "there", tmp_path / "back", "huggingface")
    assert_same_bits(values(source), values(tmp_path / "back"))
    again, start = (formats.read(path) for path in (tmp_path / "back", source))
    assert resolve_contents(again).head == there.head == start.head
    keys = {"architectures", "model_type", "layer_norm_eps", *SIZES}
    before, after = (
        json.loads((path / "config.json").read_text())
        for path in (source, tmp_path / "back")
    )
    assert {k: after[k] for k in keys & after.keys()} == {
        k: before[k] for k in keys & before.keys()
    }


@pytest.mark.parametrize("family", NAMES)
def test_the_commands_convert_describe_and_strip(family, tmp_path, capsys):
    source, ours = _directory(tmp_path / "hf", family), tmp_path / "ours"
    options = ["--to", "keras", "--verify", "full"]
    assert main(["convert", str(source), str(ours), *options]) == 0
    printed = capsys.readouterr().out
    assert all(f"{who} " in printed.split("outputs:")[1] for who in VERIFIERS)
    assert "(reference " in printed
    assert main(["inspect", str(ours)]) == 0
    head = FAMILIES[family].class_name("encoder")
    printed = capsys.readouterr().out.split()
    assert {family, head} <= {*printed}
    with pytest.raises(CheckpointError, match="Received: none"):
        convert(ours, tmp_path / "none", "keras", drop=["optimizer"])

    checkpoint = formats.read(ours)
    state = {f"{n}/adam_m": t for n, t in checkpoint.tensors.items()}
    state |= {"global_step": Tensor.of(np.array(7, "int64"))}
    trained = tmp_path / "trained"
    trained.mkdir()
    parts = (checkpoint.config, head, checkpoint.tensors)
    save(trained, "keras", *parts, optimizer=state)
    assert inspect(trained).optimizer == {"adam_m": len(state) - 1, "global_step": 1}
    assert main(["strip", str(trained), str(tmp_path / "stripped")]) == 0
    assert inspect(tmp_path / "stripped").optimizer == {}
    assert_same_bits(values(ours), values(tmp_path / "stripped"))


@pytest.mark.parametrize("family", NAMES)
def test_the_tokenizers_files_go_along(family, tmp_path):
    kinds = {
        "jieba_wordpiece": ("vocab.txt",),
        "wordpiece": ("vocab.txt", "tokenizer_config.json"),
        "byte_level_bpe": ("vocab.json", "merges.txt"),
        "sentencepiece": ("sentencepiece.bpe.model",),
        "wordpiece_of_mpnet": ("vocab.txt",),
    }
    source = _directory(tmp_path / "hf", family)
    names = kinds[FAMILIES[family].tokenizer]
    (source / names[0]).write_bytes(b"[PAD]\na\n")
    if "merges.txt" in names:
        (source / "merges.txt").write_bytes(b"a b\n")
    convert(source, tmp_path / "out", "keras")
    found = {p.name for p in (tmp_path / "out").iterdir()}
    weights = {"config.json", "conversion.json", "model.weights.h5"}
    assert found == {*names, *weights}
    for name in names:
        if (source / name).is_file():
            assert (tmp_path / "out" / name).read_bytes() == (
                source / name
            ).read_bytes()
    if "tokenizer_config.json" in names:
        described = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
        prefix = FAMILIES[family].class_prefix.removeprefix("Nomic")
        assert described["tokenizer_class"] == f"{prefix}Tokenizer"


# === What the reference in NumPy does not compute ===


@pytest.fixture()
def unknown(monkeypatch, tmp_path):
    """A family with a weight in every layer of which the reference knows nothing."""
    family = families.of("distilbert")
    row = vector(
        "hidden",
        keras="layer_{i}/more/bias",
        huggingface=f"{family.prefix}transformer.layer.{{i}}.more",
    )
    parts = {**family.parts, "encoder": [*family.parts["encoder"], row]}
    monkeypatch.setitem(vars(family), "parts", parts)
    return _directory(tmp_path / "hf", "distilbert")


def test_the_reference_refuses_weights_it_does_not_use(unknown):
    checkpoint = formats.read(unknown)
    probe = reference.probe(checkpoint.config)
    with pytest.raises(
        reference.UnusedWeightsError, match="layer_0/more/bias, layer_1/mo"
    ):
        reference.outputs(checkpoint, "DistilBertModel", probe)


def test_without_a_verifier_nothing_is_converted(unknown, tmp_path):
    with pytest.raises(CheckpointError, match=r"computes a DistilBertModel.*--verify"):
        convert(unknown, tmp_path / "out", "keras")
    assert not (tmp_path / "out").exists()
    report = convert(unknown, tmp_path / "out", "keras", verify=False)
    assert "Outputs were not compared" in report.summary()


def test_another_verifier_takes_its_place_and_is_named(unknown, tmp_path):
    def zeros(source, result, head, probe):
        return {"embeddings": np.zeros(3)}

    def ones(source, result, head, probe):
        return {"embeddings": np.full(3, result.format == "keras", "float32")}

    report = convert(unknown, tmp_path / "out", "keras", verifiers={"mine": zeros})
    assert report.differences == {"mine": 0}
    assert report.summary().endswith("(mine 0.0e+00)")
    with pytest.raises(CheckpointError, match=r"\(mine\): embeddings 1.0e\+00"):
        convert(unknown, tmp_path / "no", "keras", verifiers={"mine": ones})


def test_keras_alone_verifies(monkeypatch, tmp_path):
    def refuse(*_):
        raise reference.UnusedWeightsError("not this one")

    source = _directory(tmp_path / "hf", "roberta", "masked_lm")
    monkeypatch.setattr(reference, "outputs", refuse)
    verifiers = {"keras": VERIFIERS["keras"]}
    report = convert(source, tmp_path / "out", "keras", verifiers=verifiers)
    assert report.differences == {"keras": 0}
