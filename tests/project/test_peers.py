"""What is written is opened by transformers 5: no key missing, the same outputs."""

import itertools

import keras
import numpy as np
import pytest

from keras_bert.checkpoints import convert, formats, reference
from keras_bert.checkpoints.checkpoint import Checkpoint
from keras_bert.cli import main
from keras_bert.errors import CheckpointError
from keras_bert.families import bert
from keras_bert.verification import VERIFIERS, run_keras, run_transformers
from tests.bounds import LARGEST, bound
from tests.checkpoints.fakes import tiny_config, write_fake

transformers = pytest.importorskip("transformers", minversion="5")
HEADS = sorted(bert.BERT.models)
KINDS = {
    "safetensors": {},
    "bin": {"file_format": "bin"},
    "sharded": {"max_shard_size": 5_000},
    "sharded bin": {"file_format": "bin", "max_shard_size": 5_000},
}


def _named(**changes):
    return tiny_config(id2label={i: f"NAME_{i}" for i in range(7)}, **changes)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A Google checkpoint of every head; its matrices are scaled as trained ones."""
    folder = tmp_path_factory.mktemp("sources")

    def calm(tensors):
        for name, tensor in tensors.items():
            if len(tensor.shape) == 2:
                tensors[name] = type(tensor).of(tensor.load() * np.float32(0.2))

    return {
        head: write_fake(folder / head, "google", head, _named(), calm)
        for head in HEADS
    }


@pytest.mark.parametrize("head, kind", itertools.product(HEADS, KINDS))
def test_transformers_finds_every_key_and_no_other(head, kind, sources, tmp_path):
    out = tmp_path / "out"
    convert(sources[head], out, "huggingface", **KINDS[kind])
    assert ("sharded" in kind) == any(out.glob("*.index.json"))
    model, info = getattr(transformers, head).from_pretrained(
        out, output_loading_info=True
    )
    keys = ("missing_keys", "unexpected_keys", "mismatched_keys")
    assert not any(info.get(key) for key in keys), info
    if head != "BertForQuestionAnswering":  # whose outputs are no labels
        assert model.config.id2label[6] == "NAME_6"


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("target", ["huggingface", "keras", "google"])
def test_full_verification_runs_both_sides(head, target, sources, tmp_path):
    source = tmp_path / "pt"
    convert(sources[head], source, "huggingface")
    report = convert(source, tmp_path / "out", target, verifiers=VERIFIERS)
    assert list(report.differences) == ["reference", "keras", "transformers"]
    assert 0 < max(report.differences.values()) <= bound(LARGEST)


@pytest.mark.parametrize("run", [run_keras, run_transformers])
@pytest.mark.parametrize("head", HEADS)
def test_a_verifier_sees_every_output(run, head, sources, tmp_path):
    convert(sources[head], tmp_path / "out", "huggingface")
    opened = formats.read(tmp_path / "out")
    probe = reference.probe(opened.config)
    expected = reference.outputs(opened, head, probe)
    found = run(opened, opened, head, probe)
    hidden = {"sequence_output", "pooled_output"}  # of the encoder alone
    attentions = {name for name in expected if name.startswith("attention_")}
    own = hidden if head != "BertModel" else set()
    assert found.keys() == expected.keys() - attentions - own


def test_transformers_has_nothing_to_open_between_other_formats(sources, tmp_path):
    report = convert(
        sources["BertModel"], tmp_path / "out", "keras", verifiers=VERIFIERS
    )
    assert list(report.differences) == ["reference", "keras"]


def test_a_verifier_that_differs_stops_the_conversion(sources, tmp_path):
    def liar(source: Checkpoint, result: Checkpoint, head: str, probe):
        return {"embeddings": run_keras(source, result, head, probe)["embeddings"] + 1}

    with pytest.raises(CheckpointError, match=r"\(liar\): embeddings 1"):
        convert(
            sources["BertModel"], tmp_path / "out", "keras", verifiers={"liar": liar}
        )
    assert not (tmp_path / "out").exists()


def test_the_command_says_who_computed_what(sources, tmp_path, capsys):
    source, out = str(sources["BertForTokenClassification"]), str(tmp_path / "out")
    options = ["--to", "huggingface", "--head", "token_classification"]
    assert main(["convert", source, out, *options, "--verify", "full"]) == 0
    assert ", keras " in (printed := capsys.readouterr().out)
    assert ", transformers " in printed


@pytest.mark.parametrize("act", ["gelu", "gelu_new", "relu"])
def test_activations_keep_their_form(act, tmp_path):
    first = write_fake(tmp_path / "first", "keras", config=_named(hidden_act=act))
    report = convert(first, tmp_path / "out", "huggingface", verifiers=VERIFIERS)
    assert report.differences["transformers"] < 1e-4  # random matrices are large


def test_a_tokenizer_of_transformers_reads_what_goes_along(sources, tmp_path):
    convert(sources["BertModel"], tmp_path / "out", "huggingface")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = tokenizer("a b")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", "a", "b", "[SEP]"]
    assert tokenizer.model_max_length == 11


def test_a_resized_vocabulary_opens(tmp_path):
    import keras_bert

    model = keras_bert.BertForMaskedLM(tiny_config(), seed=3).resize_token_embeddings(
        pad_to_multiple_of=8
    )
    out = model.save_pretrained(tmp_path / "out", format="huggingface")
    theirs = transformers.BertForMaskedLM.from_pretrained(out)
    assert theirs.config.vocab_size == 40
    bias = theirs.cls.predictions.decoder.bias
    assert tuple(bias.shape) == (40,)
    words = keras.ops.convert_to_numpy(
        next(v.value for v in model.weights if "word_embeddings" in v.path)
    )
    np.testing.assert_array_equal(
        theirs.get_input_embeddings().weight.detach().numpy(), words
    )
