"""The models that a server answers for, each with its versions, kept up to date.

States and messages follow TF Serving's sources (`basic_manager.cc`,
`get_model_status_impl.cc`, `server_core.cc`); as with its default policy, a version
goes only when one that is wanted serves.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tensorflow as tf

from keras_bert.errors import CheckpointError, MissingFileError
from keras_bert.serving.double.errors import ServingError, invalid
from keras_bert.serving.double.model import LoadedModel, code_of
from keras_bert.serving.double.versions import ModelConfig

logger = logging.getLogger(__name__)

Load = Callable[[str, Path], LoadedModel]


@dataclass
class Version:
    """One version of a model and what became of it.

    Attributes:
        state: `START`, `LOADING`, `AVAILABLE`, `UNLOADING` or `END`.
        error: why it could not be loaded.
    """

    number: int
    state: str = "START"
    error: ServingError | None = None
    _model: LoadedModel | None = field(default=None, repr=False)
    _users: int = field(default=0, repr=False)
    _files: tuple = field(default=(), repr=False)


class ModelStore:
    """Loads models, hands them out, and replaces them as versions come and go.

    Args:
        configs: the models.
        load: makes a model of its name and the directory of a version.
        poll_seconds: how often the directories are looked at; 0 for once.

    Raises:
        MissingFileError: a directory holds no version.
        CheckpointError: a version to be served cannot be loaded.
        ServingError: a label stands for a version that is not served.
    """

    def __init__(
        self,
        configs: Sequence[ModelConfig],
        *,
        load: Load = LoadedModel,
        poll_seconds: float = 0,
    ):
        self._load = load
        self._lock = threading.Lock()  # of everything below; never held while loading
        self._configs: dict[str, ModelConfig] = {c.name: c for c in configs}
        self._versions: dict[str, dict[int, Version]] = {}
        self._closed = threading.Event()
        self._refreshing = threading.Lock()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        if poll_seconds:
            thread = threading.Thread(
                target=self._watch, args=[poll_seconds], name="versions", daemon=True
            )
            thread.start()

    def _start(self) -> None:
        for config in self._configs.values():
            found = sorted(versions_in(config.directory))
            if not config.policy.choose(found):
                raise _no_version(config, found)
        self.refresh()
        for name, versions in self._versions.items():
            for version in versions.values():
                if version.error:
                    raise CheckpointError(
                        f"Expected version {version.number} of model {name!r} to be a "
                        f"SavedModel with the tag 'serve'. Received: {version.error}"
                    )
        self._check_labels(self._configs.values())

    def close(self) -> None:
        """Frees every model once its last request was answered."""
        self._closed.set()
        with self._refreshing, self._lock:
            for versions in self._versions.values():
                for version in versions.values():
                    self._unload(version)

    # === Requests ===

    @contextlib.contextmanager
    def use(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> Iterator[LoadedModel]:
        """Lends a version of a model, which stays loaded until it is given back.

        Args:
            name: the model's name.
            version: its number; None for the highest.
            label: a name for a version, instead of the number.

        Raises:
            ServingError: there is no such model, version or label, or the store is
                closed.
        """
        with self._lock:
            if self._closed.is_set():
                raise ServingError("UNAVAILABLE", "The server is shutting down.")
            found = self._find(name, version, label)
            found._users += 1
        try:
            yield found._model
        finally:
            with self._lock:
                found._users -= 1
                self._free_unused(found)

    def knows(self, name: str) -> bool:
        """Whether a model of this name is served."""
        return name in self._configs

    def statuses(self, name: str, version: int | None = None) -> list[Version]:
        """Returns the versions of a model and their states, highest first.

        Raises:
            ServingError: there is no such model or version.
        """
        with self._lock:
            versions = dict(self._versions.get(name, {}))
        if version is not None and version not in versions:
            message = f"Could not find version {version} of model {name}"
            raise ServingError("NOT_FOUND", message)
        if not versions:
            message = f"Could not find any versions of model {name}"
            raise ServingError("NOT_FOUND", message)
        chosen = sorted(versions, reverse=True) if version is None else [version]
        return [versions[number] for number in chosen]

    def _find(self, name: str, number: int | None, label: str | None) -> Version:
        if label is not None:
            config = self._configs.get(name)
            if config is None or label not in config.labels:
                raise invalid(f"Unrecognized servable version label: {label}")
            number = config.labels[label]
        serving = {
            number: version
            for number, version in self._versions.get(name, {}).items()
            if version.state == "AVAILABLE"
        }
        wanted = max(serving, default=None) if number is None else number
        if wanted not in serving:
            asked = (
                f"Latest({name})" if number is None else f"Specific({name}, {number})"
            )
            raise ServingError("NOT_FOUND", f"Servable not found for request: {asked}")
        return serving[wanted]

    # === Versions that come and go ===

    def configure(self, configs: Sequence[ModelConfig]) -> None:
        """Serves other models, or the same ones otherwise.

        Raises:
            ServingError: a name is there twice, or a label stands for a version that
                is not served yet.
        """
        names = [config.name for config in configs]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise invalid(f"Illegal to list model {name} multiple times in config")
        self._check_labels(configs)
        with self._lock:
            self._configs = {config.name: config for config in configs}
        self.refresh()

    def refresh(self) -> None:
        """Looks at the directories once: loads what is new, unloads what is gone."""
        with self._refreshing:
            if self._closed.is_set():
                return
            for config in list(self._configs.values()):
                self._refresh(config)
            for name in set(self._versions) - set(self._configs):
                self._unload_all_but(name, [])

    def _watch(self, seconds: float) -> None:
        while not self._closed.wait(seconds):
            try:
                self.refresh()
            except Exception:  # the thread must outlive a file system's bad moment
                logger.exception("Looking for new versions failed")

    def _refresh(self, config: ModelConfig) -> None:
        found = versions_in(config.directory)
        wanted = config.policy.choose(sorted(found))
        for number in wanted:
            self._bring(config.name, number, found[number])
        versions = self._versions.get(config.name, {})
        if not wanted or any(versions[n].state == "AVAILABLE" for n in wanted):
            self._unload_all_but(config.name, wanted)

    def _bring(self, name: str, number: int, path: Path) -> None:
        files = _files_of(path)
        version = self._versions.get(name, {}).get(number, Version(number))
        # A version that failed is tried again when its files have changed.
        if version.state == "AVAILABLE" or (version.error and version._files == files):
            return
        new = Version(number, "LOADING", _files=files)
        with self._lock:
            self._versions.setdefault(name, {})[number] = new
        try:
            model = self._load(name, path)
        except Exception as error:
            logger.warning("Version %d of %s cannot be loaded: %s", number, name, error)
            new.error, new.state = _as_serving_error(error), "END"
            return
        with self._lock:
            new._model, new.state = model, "AVAILABLE"
        logger.info("Serving version %d of %s", number, name)

    def _unload_all_but(self, name: str, wanted: Sequence[int]) -> None:
        with self._lock:
            for number, version in self._versions.get(name, {}).items():
                if number not in wanted:
                    self._unload(version)

    def _unload(self, version: Version) -> None:
        if version.state == "AVAILABLE":
            version.state = "UNLOADING"
            self._free_unused(version)

    def _free_unused(self, version: Version) -> None:
        if version.state == "UNLOADING" and not version._users:
            model, version._model = version._model, None
            model.close()
            version.state = "END"
            logger.info("Version %d of %s is unloaded", version.number, model.name)

    def _check_labels(self, configs) -> None:
        for config in configs:
            for number in config.labels.values():
                version = self._versions.get(config.name, {}).get(number)
                if version is None or version.state != "AVAILABLE":
                    raise ServingError(
                        "FAILED_PRECONDITION",
                        f"Request to assign label to version {number} of model "
                        f"{config.name}, which is not currently available for "
                        "inference",
                    )


def versions_in(directory: Path) -> Mapping[int, Path]:
    """Returns the directories of a model's versions by number."""
    found = directory.iterdir() if directory.is_dir() else ()
    return {
        int(path.name): path
        for path in found
        if path.name.isdecimal() and (path / "saved_model.pb").is_file()
    }


def _no_version(config: ModelConfig, found: Sequence[int]) -> MissingFileError:
    directory = config.directory
    if found:
        return MissingFileError(
            f"Expected one of the versions asked for of model {config.name!r} below "
            f"{directory}. Received: {', '.join(map(str, found))}."
        )
    advice = "`keras-bert export` writes one."
    if (directory / "saved_model.pb").is_file():
        advice = (
            f"It is a version itself; name the directory above, {directory.parent}."
        )
    return MissingFileError(
        f"Expected a version of model {config.name!r} below {directory}, as in "
        f"{directory / '1'}; none is there. {advice}"
    )


def _files_of(path: Path) -> tuple:
    """What changes when a version that is being copied grows."""
    files = []
    for file in sorted(path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # gone since it was listed
            status = file.stat()
            files.append((file.name, status.st_size, status.st_mtime_ns))
    return tuple(files)


def _as_serving_error(error: Exception) -> ServingError:
    if isinstance(error, tf.errors.OpError):
        return ServingError(code_of(error), error.message)
    code = "NOT_FOUND" if isinstance(error, OSError) else "UNKNOWN"
    return ServingError(code, str(error))
