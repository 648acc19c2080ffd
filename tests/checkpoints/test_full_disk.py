"""A full disk is one sentence, and what was there before is still there."""

import contextlib
import errno
import os
import resource

import numpy as np
import pytest

from keras_bert.atomic_files import room_for
from keras_bert.checkpoints import convert, hdf5
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.errors import DiskFullError
from tests.checkpoints.fakes import contents_of, write_fake

WRITTEN = {
    "keras": {},
    "huggingface": {},
    "huggingface bin": {"file_format": "bin"},
    "google": {},
    "model_garden": {},
    "keras_hub": {},
}


@contextlib.contextmanager
def _room(size: int):
    """Limits the size of files: writing more is an error, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_fake(tmp_path_factory.mktemp("full") / "first", "google", "BertModel")


@pytest.mark.parametrize("size", [0, 300, 4_000, 9_000])
@pytest.mark.parametrize("name", WRITTEN)
def test_a_checkpoint(name, size, source, tmp_path):
    to, *_ = name.split()
    target = write_fake(tmp_path / "out", "keras", "BertModel")
    before = contents_of(tmp_path)
    with _room(size), pytest.raises(DiskFullError) as error:
        convert(source, target, to, overwrite=True, **WRITTEN[name])
    assert f"room on the disk for {target}" in str(error.value)
    assert "\n" not in str(error.value)
    assert contents_of(tmp_path) == before


def test_hdf5_raises_whichever_write_fails(tmp_path):
    """HDF5's own files would end the process."""
    tensors = {f"layer_{i}/kernel": Tensor.of(np.ones((9, 5))) for i in range(3)}
    path = tmp_path / "a.weights.h5"
    hdf5.write(path, tensors, lambda name: name)
    for size in range(0, path.stat().st_size, 500):
        with _room(size), pytest.raises(OSError) as error:
            hdf5.write(path, tensors, lambda name: name)
        assert error.value.errno == errno.EFBIG


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_whatever_a_library_makes_of_it(number, tmp_path):
    def fail():
        try:
            raise OSError(number, os.strerror(number))
        except OSError:
            raise RuntimeError("unexpected pos 576 vs 534")  # noqa: B904  as PyTorch does

    with pytest.raises(DiskFullError, match=os.strerror(number)), room_for(tmp_path):
        fail()
    with pytest.raises(DiskFullError), room_for(tmp_path):  # as HDF5 does
        raise ValueError(f"unable to extend file, {os.strerror(number)!r}")
    with pytest.raises(RuntimeError), room_for(tmp_path):  # another error stays
        raise RuntimeError("unexpected")
