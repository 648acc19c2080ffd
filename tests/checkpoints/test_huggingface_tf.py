"""`tf_model.h5` of transformers: weights that are there twice, names, reading only."""

import shutil

import h5py
import numpy as np
import pytest

from keras_bert.checkpoints import convert, formats, reference
from keras_bert.checkpoints.matching import resolve_contents
from keras_bert.errors import CheckpointError, UnknownNameError
from tests.bounds import LARGEST, bound
from tests.paths import shared

PRETRAINING, CLASSIFIER = "hf457_tf_pretraining_h5", "hf457_tf_seqcls_h5"
COPY = (
    "mlm___cls/tf_bert_for_pre_training/bert/embeddings/position_embeddings/"
    "embeddings:0"
)


@pytest.fixture
def folder(tmp_path):
    source = shared("goldens", PRETRAINING)
    return shutil.copytree(source, tmp_path / "first", copy_function=shutil.copyfile)


def _change(folder, change):
    with h5py.File(folder / "tf_model.h5", "a") as file:
        change(file)


def test_weights_that_are_there_twice_are_ignored_by_name():
    checkpoint = formats.read(shared("goldens", PRETRAINING))
    assert resolve_contents(checkpoint).head == "BertForPreTraining"
    assert len(checkpoint.ignored) == 5
    assert checkpoint.ignored[COPY] == (
        "a copy of bert/embeddings/position_embeddings/embeddings"
    )


def test_copies_that_differ_are_refused(folder):
    def change(file):
        file[COPY][2, 3] += 1

    _change(folder, change)
    with pytest.raises(CheckpointError, match=r"to be a copy of .*different values"):
        formats.read(folder)


@pytest.mark.parametrize("to", ["huggingface", "google", "keras", "model_garden"])
@pytest.mark.parametrize("case", [PRETRAINING, CLASSIFIER])
def test_what_is_read_computes_the_same_elsewhere(case, to, tmp_path):
    report = convert(shared("goldens", case), tmp_path / "out", to)
    assert report.largest_difference <= bound(LARGEST)
    assert len(report.ignored) == (5 if case == PRETRAINING else 0)


def test_matrices_are_turned_for_pytorch(tmp_path):
    source = shared("goldens", PRETRAINING)
    convert(source, tmp_path / "out", "huggingface")
    here, there = (formats.read(p).tensors for p in (source, tmp_path / "out"))
    kernel = here["bert/encoder/layer_._1/intermediate/dense/kernel"].load()
    weight = there["bert.encoder.layer.1.intermediate.dense.weight"].load()
    np.testing.assert_array_equal(kernel.T, weight)
    kernel = here["nsp___cls/seq_relationship/kernel"].load()
    np.testing.assert_array_equal(kernel.T, there["cls.seq_relationship.weight"].load())


def test_pytorchs_weights_beside_them_come_first(folder, tmp_path):
    convert(folder, tmp_path / "pt", "huggingface")
    shutil.copyfile(tmp_path / "pt" / "model.safetensors", folder / "model.safetensors")
    assert formats.detect(folder) == "huggingface"
    assert formats.detect(folder / "tf_model.h5") == "huggingface_tf"


def test_it_is_read_and_not_written(folder, tmp_path):
    with pytest.raises(UnknownNameError, match="huggingface_tf"):
        convert(folder, tmp_path / "out", "huggingface_tf")


def test_an_unknown_and_a_lost_tensor_are_named(folder, tmp_path):
    def change(file):
        layer = file["nsp___cls/tf_bert_for_pre_training/nsp___cls/seq_relationship"]
        layer.move("bias:0", "offset:0")

    _change(folder, change)
    message = (
        "Missing: nsp___cls/seq_relationship/bias.*"
        "Unexpected: nsp___cls/seq_relationship/offset"
    )
    with pytest.raises(CheckpointError, match=message):
        convert(folder, tmp_path / "out", "google")


def test_the_weights_of_something_else(folder):
    def change(file):
        for name in [*file]:
            del file[name]
        file["model/kernel:0"] = np.zeros((3, 2), "float32")

    _change(folder, change)
    with pytest.raises(
        CheckpointError, match=r"word_embeddings/weight\. Received: mod"
    ):
        formats.read(folder)


def test_a_turned_kernel_is_noticed(folder, tmp_path):
    name = "tf_bert_for_pre_training/mlm___cls/predictions/transform/dense/kernel:0"

    def change(file):
        values = file[f"mlm___cls/{name}"]
        values[...] = values[()].T

    before = formats.read(folder)
    probe = reference.probe(before.config)
    one = reference.outputs(before, "BertForPreTraining", probe)["mlm_logits"]
    del before
    _change(folder, change)
    other = reference.outputs(formats.read(folder), "BertForPreTraining", probe)
    assert np.abs(one - other["mlm_logits"]).max() > 0.1
