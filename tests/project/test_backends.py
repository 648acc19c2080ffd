"""The same numbers on JAX and PyTorch: other tests, run again in a new process."""

import pytest

from keras_bert.families import FAMILIES
from tests.backends import passed
from tests.extras import needs
from tests.paths import shared


def test_jax_gives_the_originals_numbers():
    """Outputs of some heads of BERT, and of all of other families; losses are slow."""
    folder = shared("goldens")
    few = ("google_tf1_pretraining", "hf_bert_seqcls", "hf_bert_qa")
    kinds = {name.replace("-", "_") for name in FAMILIES} - {"bert"}
    cases = [p.name for k in kinds for p in folder.glob(f"hf*_{k}_*")]
    cases = [*few, *(c for c in cases if not c.startswith(("hf_bert", "hf457_bert")))]
    names = " or ".join([*few, *kinds])
    found = passed("jax", "models/test_goldens.py", "-k", f"outputs and ({names})")
    assert found == len({*cases})


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_all_models_and_layers(backend):
    files = ("models/test_goldens.py", "models/test_contracts.py")
    assert passed(backend, *files, "checkpoints/test_models.py") > 132


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_optimizers_losses_and_what_fit_does_with_them(backend):
    files = ("optimizers", "models/test_losses.py", "models/test_compilation.py")
    assert passed(backend, *files, "-m", "not slow") > 140


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_inputs_and_adapted_weights(backend):
    files = ("models/test_inputs.py", "models/test_other_weights.py")
    files += ("models/test_lora.py",)
    assert passed(backend, *files, "layers/test_lookup.py") > 125


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_steps_that_freeze_or_fail(backend):
    names = "callback or thawed or error_in_a_step"
    assert passed(backend, "models/test_encoder.py", "-k", names) == 10


@pytest.mark.slow
def test_jax_trains_in_16_bits():
    assert passed("jax", "training/test_precision.py") == 10


@pytest.mark.slow
def test_jax_exports_to_onnx():
    needs("onnx", "onnxruntime")
    names = "test_onnx_equals_keras_at_any_size and (answers or choices)"
    assert passed("jax", "serving/test_runtimes.py", "-k", names) == 2
