"""The models that a server answers for, each with its versions, kept up to date.

States and messages follow TF Serving's sources (`basic_manager.cc`,
`get_model_status_impl.cc`, `server_core.cc`); as with its default policy, a version
goes only when one that is wanted serves.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from keras_bert.errors import CheckpointError, MissingFileError
from keras_bert.serving.local_server.batching import STOPPING
from keras_bert.serving.local_server.errors import ServingError, invalid
from keras_bert.serving.local_server.model import LoadedModel, code_of
from keras_bert.serving.local_server.settings import ModelConfig, whole_number

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Version:
    """One version of a model and what became of it.

    Attributes:
        state: `LOADING`, `AVAILABLE`, `UNLOADING` or `END`.
        error: why it could not be loaded; its `__cause__` may name files.
    """

    number: int
    files: tuple
    state: str = "LOADING"
    error: ServingError | None = None
    model: LoadedModel | None = None
    users: int = 0


class ModelStore:
    """Loads models, lends them, and replaces them as versions come and go.

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
        load: Callable[[str, Path], LoadedModel] = LoadedModel,
        poll_seconds: float = 0,
    ):
        self._load = load
        self._changed = threading.Condition()  # of all below; not held while loading
        self._configs = {config.name: config for config in configs}
        self._versions: dict[str, dict[int, Version]] = {}
        self._closed = threading.Event()
        self._refreshing = threading.Lock()
        try:
            self._start(configs)
        except BaseException:
            self.close()
            raise
        if poll_seconds:
            threading.Thread(
                target=self._watch, args=[poll_seconds], name="versions", daemon=True
            ).start()

    def _start(self, configs: Sequence[ModelConfig]) -> None:
        for config in configs:
            _check_directory(config)
        self.refresh()
        for config in configs:
            for version in self.statuses(config.name):
                if version.error:
                    raise CheckpointError(
                        f"Expected version {version.number} of model {config.name!r} "
                        "to be a SavedModel with the tag 'serve'. Received: "
                        f"{version.error.__cause__}"
                    )
        self._check_labels(configs)

    def close(self, grace: float = 0) -> bool:
        """Lends nothing more, and frees every model after its last request.

        Args:
            grace: seconds to wait for the requests in hand, at most.

        Returns:
            Whether all of them ended in time.
        """
        self._closed.set()
        with self._refreshing, self._changed:
            versions = [v for of in self._versions.values() for v in of.values()]
            for version in versions:
                self._unload(version)
            return self._changed.wait_for(
                lambda: not any(version.model for version in versions), grace
            )

    # === Requests ===

    def check_open(self) -> None:
        """Raises `ServingError` once the store is closed."""
        if self._closed.is_set():
            raise ServingError("UNAVAILABLE", STOPPING)

    @contextlib.contextmanager
    def use(
        self, name: str, number: int | None = None, label: str | None = None
    ) -> Iterator[LoadedModel]:
        """Lends a version of a model, which stays loaded until it is given back.

        Args:
            name: the model's name.
            number: of the version; None for the highest.
            label: a name for a version, instead of the number.

        Raises:
            ServingError: there is no such model, version or label, or the store is
                closed.
        """
        with self._changed:
            self.check_open()
            version = self._find(name, number, label)
            version.users += 1
        try:
            yield version.model
        finally:
            with self._changed:
                version.users -= 1
                self._free_unused(version)

    @property
    def names(self) -> list[str]:
        """The names of the models."""
        return list(self._configs)

    def knows(self, name: str) -> bool:
        """Whether a model of this name is served."""
        return name in self._configs

    def statuses(self, name: str, number: int | None = None) -> list[Version]:
        """Returns the versions of a model and their states, highest first.

        Raises:
            ServingError: there is no such model or version.
        """
        with self._changed:
            found = dict(self._versions.get(name, {}))
        chosen = sorted(found, reverse=True) if number is None else [number]
        if not chosen or chosen[0] not in found:
            what = "any versions" if number is None else f"version {number}"
            raise ServingError("NOT_FOUND", f"Could not find {what} of model {name}")
        return [found[number] for number in chosen]

    def _find(self, name: str, number: int | None, label: str | None) -> Version:
        if label is not None:
            labels = self._configs[name].labels if self.knows(name) else {}
            if label not in labels:
                raise invalid(f"Unrecognized servable version label: {label}")
            number = labels[label]
        found = self._versions.get(name, {})
        serving = [n for n, version in found.items() if version.state == "AVAILABLE"]
        wanted = max(serving, default=None) if number is None else number
        if wanted not in serving:
            asked = f"Latest({name})"
            asked = asked if number is None else f"Specific({name}, {number})"
            raise ServingError("NOT_FOUND", f"Servable not found for request: {asked}")
        return found[wanted]

    # === Versions that come and go ===

    def configure(self, configs: Sequence[ModelConfig]) -> None:
        """Serves other models, or the same ones otherwise.

        Raises:
            ServingError: a name is there twice, or a label stands for a version that
                is not served yet.
        """
        by_name = {config.name: config for config in configs}
        if len(by_name) < len(configs):
            raise invalid("Illegal to list a model multiple times in config")
        self._check_labels(configs)
        with self._changed:
            self._configs = by_name
        self.refresh()

    def refresh(self) -> None:
        """Looks at the directories once: loads what is new, unloads what is gone."""
        with self._refreshing:
            if self._closed.is_set():
                return
            for config in list(self._configs.values()):
                self._refresh(config)
            for name in set(self._versions) - set(self._configs):
                self._keep_only(name, [])

    def _watch(self, seconds: float) -> None:
        while not self._closed.wait(seconds):
            try:
                self.refresh()
            except Exception:  # the thread must outlive a file system's bad moment
                logger.exception("Looking for new versions failed")

    def _refresh(self, config: ModelConfig) -> None:
        found = versions_in(config.directory)
        wanted = config.choose(found)
        for number in wanted:
            self._bring(config.name, number, found[number])
        versions = self._versions.get(config.name, {})
        if not wanted or any(versions[n].state == "AVAILABLE" for n in wanted):
            self._keep_only(config.name, wanted)

    def _bring(self, name: str, number: int, path: Path) -> None:
        version = Version(number, _files_of(path))
        old = self._versions.get(name, {}).get(number, version)
        # A version that failed is tried again when its files have changed.
        if old.state == "AVAILABLE" or (old.error and old.files == version.files):
            return
        with self._changed:
            self._versions.setdefault(name, {})[number] = version
        try:
            model = self._load(name, path)
        except Exception as error:
            logger.warning("Version %d of %s cannot be loaded: %s", number, name, error)
            version.error, version.state = _load_error(name, number, error), "END"
            return
        with self._changed:
            version.model, version.state = model, "AVAILABLE"
        logger.info("Serving version %d of %s", number, name)

    def _keep_only(self, name: str, wanted: Collection[int]) -> None:
        with self._changed:
            for number, version in self._versions.get(name, {}).items():
                if number not in wanted:
                    self._unload(version)

    def _unload(self, version: Version) -> None:
        if version.state == "AVAILABLE":
            version.state = "UNLOADING"
            self._free_unused(version)

    def _free_unused(self, version: Version) -> None:
        if version.state == "UNLOADING" and not version.users:
            name = version.model.name
            version.model.close()
            version.model, version.state = None, "END"
            self._changed.notify_all()
            logger.info("Version %d of %s is unloaded", version.number, name)

    def _check_labels(self, configs: Sequence[ModelConfig]) -> None:
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


def versions_in(directory: Path) -> dict[int, Path]:
    """Returns the directories of a model's versions by number."""
    found = {
        whole_number(path.parent.name): path.parent
        for path in directory.glob("*/saved_model.pb")
    }
    return {number: path for number, path in found.items() if number is not None}


def _check_directory(config: ModelConfig) -> None:
    directory, found = config.directory, versions_in(config.directory)
    if config.choose(found):
        return
    advice = "`keras-bert export` writes one."
    if (directory / "saved_model.pb").is_file():
        advice = f"It is a version; name the directory above, {directory.parent}."
    raise MissingFileError(
        f"Expected one of the versions asked for ({config.versions}) of model "
        f"{config.name!r} below {directory}, as in {directory / '1'}. Received: "
        f"{', '.join(map(str, sorted(found))) or 'none'}. {advice}"
    )


def _files_of(path: Path) -> tuple:
    """What changes when a version that is being copied grows."""
    files = []
    for file in sorted(path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # gone since it was listed
            status = file.stat()
            files.append((file.name, status.st_size, status.st_mtime_ns))
    return tuple(files)


def _load_error(name: str, number: int, cause: Exception) -> ServingError:
    """Returns what clients are told; the cause's own words may name files."""
    code = "NOT_FOUND" if isinstance(cause, OSError) else "UNKNOWN"
    code = code_of(cause) if isinstance(cause, tf.errors.OpError) else code
    error = ServingError(
        code,
        f"Version {number} of model {name} cannot be loaded "
        f"({type(cause).__name__}); the server's log has the details.",
    )
    error.__cause__ = cause
    return error
