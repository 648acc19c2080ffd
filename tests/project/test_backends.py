"""The same numbers on JAX and PyTorch: other tests, run again in a new process."""

import pytest

from tests.backends import passed
from tests.paths import shared


def test_jax_gives_the_originals_numbers():
    shared("goldens")
    names = "google_tf1_pretraining or hf_bert_seqcls or hf_bert_qa"
    assert passed("jax", "models/test_goldens.py", "-k", names) == 6


def test_jax_loads_every_writers_checkpoints():
    shared("goldens", "mg_pretrainer_v2")
    assert passed("jax", "checkpoints/test_models.py") == 32


def test_jax_gives_the_numbers_of_other_families():
    shared("goldens", "hf_distilbert_base")
    names = "distilbert or roberta"
    assert passed("jax", "models/test_goldens.py", "-k", names) == 32


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_all_models_and_layers(backend):
    assert passed(backend, "models/test_goldens.py", "models/test_contracts.py") > 100


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_optimizers_losses_and_what_fit_does_with_them(backend):
    files = ("optimizers", "models/test_losses.py", "models/test_compilation.py")
    assert passed(backend, *files, "-m", "not slow") > 140


@pytest.mark.slow
def test_jax_trains_in_16_bits():
    assert passed("jax", "training/test_precision.py") == 10
