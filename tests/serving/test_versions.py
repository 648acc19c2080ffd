"""Versions that come and go while a server runs, their labels and their states."""

import threading
from pathlib import Path

import pytest

from keras_bert.errors import CheckpointError, ConfigError, MissingFileError
from keras_bert.serving.local_server.errors import ServingError
from keras_bert.serving.local_server.model_store import ModelStore, versions_in
from keras_bert.serving.local_server.settings import ModelConfig, whole_number


class Model:
    """Stands for a loaded SavedModel; reads one file."""

    def __init__(self, name: str, path: Path):
        self.name, self.version, self.closed = name, int(path.name), False
        content = (path / "saved_model.pb").read_text()
        if content != "whole":
            raise OSError(f"{content} file")

    def close(self):
        assert not self.closed
        self.closed = True


def write(directory, number, content="whole"):
    path = directory / str(number)
    path.mkdir(parents=True, exist_ok=True)
    (path / "saved_model.pb").write_text(content)


def delete(directory, number):
    (directory / str(number) / "saved_model.pb").unlink()
    (directory / str(number)).rmdir()


@pytest.fixture
def directory(tmp_path):
    write(tmp_path, 1)
    return tmp_path


def store_of(directory, versions="latest", labels=None, **changes):
    config = ModelConfig("m", directory, versions, labels or {})
    return ModelStore([config], load=Model, **changes)


def states(store):
    return {v.number: v.state for v in store.statuses("m")}


def serving(store, *which):
    with store.use("m", *which) as model:
        return model.version


def test_the_latest_replaces_the_one_before(directory):
    store = store_of(directory)
    assert (serving(store), states(store)) == (1, {1: "AVAILABLE"})
    write(directory, 3)
    assert serving(store) == 1  # nobody looked yet
    store.refresh()
    assert (serving(store), states(store)) == (3, {3: "AVAILABLE", 1: "END"})
    with pytest.raises(ServingError, match=r"Specific\(m, 1\)") as caught:
        serving(store, 1)
    assert caught.value.code == "NOT_FOUND"


def test_a_version_stays_until_its_requests_end(directory):
    store = store_of(directory)
    with store.use("m") as model, store.use("m"):
        write(directory, 2)
        store.refresh()
        assert states(store) == {2: "AVAILABLE", 1: "UNLOADING"}
        assert serving(store) == 2
        assert not model.closed
    assert model.closed
    assert states(store) == {2: "AVAILABLE", 1: "END"}


def test_a_broken_version_is_told_and_the_old_one_serves(directory):
    store = store_of(directory)
    write(directory, 2, "half a")
    store.refresh()
    assert (serving(store), states(store)) == (1, {2: "END", 1: "AVAILABLE"})
    [broken] = store.statuses("m", 2)
    assert broken.error.code == "NOT_FOUND"
    assert str(broken.error) == (
        "Version 2 of model m cannot be loaded (OSError); the server's log has the "
        "details."
    )
    assert str(broken.error.__cause__) == "half a file"
    write(directory, 2, "whole")  # its copy is complete now
    store.refresh()
    assert (serving(store), states(store)) == (2, {2: "AVAILABLE", 1: "END"})


def test_a_broken_version_is_not_loaded_over_and_over(directory):
    loads = []
    config = ModelConfig("m", directory)

    def load(name, path):
        loads.append(path.name)
        return Model(name, path)

    store = ModelStore([config], load=load)
    write(directory, 2, "half a")
    for _ in range(3):
        store.refresh()
    assert loads == ["1", "2"]


def test_deleted_versions_are_unloaded(directory):
    write(directory, 2)
    store = store_of(directory)
    delete(directory, 2)
    store.refresh()
    assert (serving(store), states(store)) == (1, {2: "END", 1: "AVAILABLE"})
    delete(directory, 1)
    store.refresh()
    assert set(states(store).values()) == {"END"}
    with pytest.raises(ServingError, match=r"Latest\(m\)"):
        serving(store)
    write(directory, 1)
    store.refresh()
    assert serving(store) == 1


def test_half_a_version_and_other_names_are_not_looked_at(directory):
    (directory / "7").mkdir()
    (directory / ".8.partial").mkdir()
    (directory / "notes").write_text("")
    write(directory, "002")
    assert versions_in(directory) == {1: directory / "1", 2: directory / "002"}
    assert serving(store_of(directory)) == 2


@pytest.mark.parametrize(
    "versions, expected",
    [
        ("latest", [4]),
        ("latest:2", [4, 2]),
        ("latest:12", [4, 2, 1]),
        ("all", [4, 2, 1]),
        ("1,9", [1]),
        ("04,1", [4, 1]),
    ],
)
def test_policies(directory, versions, expected):
    for number in (2, 4):
        write(directory, number)
    store = store_of(directory, versions)
    assert list(states(store)) == expected
    assert serving(store) == expected[0]


@pytest.mark.parametrize(
    "text", ["", "newest", "latest:0", "1,", "-1", "latest:", "latest:" + "9" * 5000]
)
def test_other_policies_are_refused(text):
    with pytest.raises(ConfigError, match="latest:N"):
        ModelConfig("m", Path("m"), text)


@pytest.mark.parametrize(
    "text, number",
    [
        ("0" * 5000 + "7", 7),
        ("12345678901234567", 12345678901234567),
        (str(2**63 - 1), 2**63 - 1),
        (str(2**63), None),
        ("9" * 5000, None),
        ("\u0663", None),  # a digit, but not of a version
        ("-1", None),
        ("", None),
    ],
)
def test_numbers_of_any_length_are_right(text, number):
    assert whole_number(text) == number


def test_directories_of_any_number_are_right(directory):
    for name in ("9" * 100, "\u0663", "0" * 100 + "5"):
        write(directory, name)
    assert set(versions_in(directory)) == {1, 5}
    assert serving(store_of(directory, "9" * 5000 + ",5")) == 5


def test_labels_stand_for_versions(directory):
    write(directory, 2)
    store = store_of(directory, "all", {"stable": 1, "canary": 2})
    assert serving(store, None, "stable") == 1
    assert serving(store, None, "canary") == 2
    with pytest.raises(ServingError, match="version label: nope") as caught:
        serving(store, None, "nope")
    assert caught.value.code == "INVALID_ARGUMENT"
    store.configure([ModelConfig("m", directory, "all", {"stable": 2})])
    assert serving(store, None, "stable") == 2


def test_labels_need_a_version_that_serves(directory):
    write(directory, 2)
    with pytest.raises(ServingError, match="assign label to version 1") as caught:
        store_of(directory, "latest", {"stable": 1})
    assert caught.value.code == "FAILED_PRECONDITION"


def test_models_come_and_go(directory, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    write(other, 5)
    store = store_of(directory)
    assert store.knows("m") and not store.knows("n")
    store.configure([ModelConfig("n", other)])
    assert store.knows("n") and not store.knows("m")
    with store.use("n") as model:
        assert model.version == 5
    assert states(store) == {1: "END"}
    with pytest.raises(ServingError, match="multiple times"):
        store.configure([ModelConfig("n", other)] * 2)


def test_a_store_starts_with_every_version_or_not_at_all(directory):
    write(directory, 2, "half a")
    with pytest.raises(CheckpointError, match="version 2 of model 'm'"):
        store_of(directory)
    with pytest.raises(MissingFileError, match="keras-bert export"):
        store_of(directory / "nowhere")


def test_a_closed_store_answers_nothing_new(directory):
    store = store_of(directory)
    with store.use("m") as model:
        assert not store.close(grace=0)
        assert not model.closed
        with pytest.raises(ServingError, match="shutting down") as caught:
            serving(store)
        assert caught.value.code == "UNAVAILABLE"
    assert model.closed
    write(directory, 2)
    store.refresh()
    assert states(store) == {1: "END"}


def test_a_watcher_sees_versions_by_itself(directory):
    seen = []

    def load(name, path):
        seen.append(path.name)
        loaded.set() if path.name == "2" else None
        return Model(name, path)

    loaded = threading.Event()
    config = ModelConfig("m", directory)
    store = ModelStore([config], load=load, poll_seconds=0.01)
    write(directory, 2)
    assert loaded.wait(30)
    assert store.close(grace=30)
    assert seen[0] == "1"
