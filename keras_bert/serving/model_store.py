"""Loaded SavedModels and the requests they answer, apart from any protocol.

The double of TF Serving (`keras_bert.serving.server`) puts HTTP in front of this.
Signatures run as TF Serving runs them: in a session, by the tensor names that
`saved_model.pb` gives, without the Python objects of TensorFlow 2. Names of errors
and their messages follow TF Serving's sources (`predict_util.cc`, `classifier.cc`,
`regressor.cc`, `basic_manager.cc`, `get_model_status_impl.cc`, `server_core.cc`).
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the operations of text signatures
from tensorflow.core.protobuf import meta_graph_pb2

from keras_bert.errors import KerasBertError, MissingFileError
from keras_bert.serving.export import versions

DEFAULT_SIGNATURE = "serving_default"

Arrays = dict[str, np.ndarray]


class ServingError(KerasBertError):
    """A request that cannot be answered.

    Args:
        code: name of the gRPC status, for instance `"INVALID_ARGUMENT"`.
        message: what TF Serving says in the same case.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


def invalid(message: str) -> ServingError:
    """Returns the error for a request that is wrong in itself."""
    return ServingError("INVALID_ARGUMENT", message)


class LoadedModel:
    """One version of a model, ready to answer.

    Args:
        name: the model's name in requests.
        path: directory of the version, `<model>/<number>`.
    """

    def __init__(self, name: str, path: Path):
        self.name = name
        self.version = int(path.name)
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default(), _without_warnings():
            graph = tf.compat.v1.saved_model.load(self._session, ["serve"], str(path))
        self.signatures: Mapping[str, meta_graph_pb2.SignatureDef] = graph.signature_def

    def close(self) -> None:
        """Frees the weights."""
        self._session.close()

    def inputs_of(self, signature_name: str) -> dict[str, meta_graph_pb2.TensorInfo]:
        """Returns the inputs of a signature by name, as JSON requests look them up."""
        name = signature_name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise invalid(
                f'Serving signature name: "{name}" not found in signature def'
            )
        if not self.signatures[name].inputs:
            raise invalid(f"Failed to get input map for signature: {name}")
        return dict(sorted(self.signatures[name].inputs.items()))

    def predict(
        self,
        inputs: Mapping[str, np.ndarray],
        signature_name: str = "",
        output_filter: Sequence[str] = (),
    ) -> Arrays:
        """Runs a signature.

        Args:
            inputs: arrays by input name, exactly the signature's.
            signature_name: empty for `serving_default`.
            output_filter: names of the outputs wanted; empty for all.

        Returns:
            Arrays by output name.

        Raises:
            ServingError: the signature, an input or an output does not exist, or
                TensorFlow refuses the values.
        """
        name = signature_name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            message = f'Serving signature key "{name}" not found.'
            raise ServingError("FAILED_PRECONDITION", message)
        signature = self.signatures[name]
        _check_inputs(inputs, signature.inputs)
        _check_outputs(output_filter, signature.outputs)
        return self._run(signature, inputs, output_filter or sorted(signature.outputs))

    def classify(
        self, examples: Sequence[bytes], signature_name: str = ""
    ) -> list[list[tuple[str, float]]]:
        """Answers the Classify API: labels and scores of serialized tf.Examples."""
        signature = self._examples_signature(signature_name, "classification")
        if not {"classes", "scores"} & set(signature.outputs):
            raise invalid(
                "Expected classification signature outputs to contain at least one of "
                f'"classes" or "scores". Signature was: {signature}'
            )
        outputs = self._run(signature, _batch_of(examples), signature.outputs)
        shape = next(iter(outputs.values())).shape
        labels = outputs.get("classes", np.full(shape, b"", object))
        scores = outputs.get("scores", np.zeros(shape, np.float32))
        return [
            [(label.decode(), float(score)) for label, score in zip(*row, strict=True)]
            for row in zip(labels, scores, strict=True)
        ]

    def regress(
        self, examples: Sequence[bytes], signature_name: str = ""
    ) -> list[float]:
        """Answers the Regress API: one value per serialized tf.Example."""
        signature = self._examples_signature(signature_name, "regression")
        if "outputs" not in signature.outputs:
            raise invalid(
                f"No regression outputs found in SignatureDef: {signature}",
            )
        values = self._run(signature, _batch_of(examples), ["outputs"])["outputs"]
        if values.shape not in ((len(examples),), (len(examples), 1)):
            raise invalid(
                "Expected output Tensor shape to be either [batch_size] or "
                f"[batch_size, 1] but got {list(values.shape)}"
            )
        return [float(value) for value in values.reshape(-1)]

    def _examples_signature(self, name: str, kind: str) -> meta_graph_pb2.SignatureDef:
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise invalid(f"No signature was found with the name: {name}")
        signature = self.signatures[name]
        if len(signature.inputs) != 1:
            raise invalid("Expected one input Tensor.")
        if "inputs" not in signature.inputs:
            raise invalid(f"No {kind} inputs found in SignatureDef: {signature}")
        return signature

    def _run(self, signature, inputs: Mapping[str, np.ndarray], names) -> Arrays:
        fetches = {name: signature.outputs[name].name for name in names}
        feeds = {signature.inputs[name].name: array for name, array in inputs.items()}
        try:
            return self._session.run(fetches, feeds)
        except tf.errors.OpError as error:
            code = error.error_code
            name = next(n for n, c in vars(tf.errors).items() if c == code)
            # Python's session puts a heading in front; the server's own has none.
            message = error.message.removeprefix("Graph execution error:").strip()
            raise ServingError(name, message) from error
        except ValueError as error:  # a shape the session itself refuses
            raise invalid(str(error)) from error


class ModelStore:
    """The models a server answers for, each with its versions.

    Args:
        model_dirs: directory of each model by name; `<directory>/<version>/` holds
            the SavedModels.
        all_versions: load every version; otherwise the highest, as TF Serving does.

    Raises:
        MissingFileError: a directory holds no version.
    """

    def __init__(
        self, model_dirs: Mapping[str, str | Path], all_versions: bool = False
    ):
        self._models: dict[str, dict[int, LoadedModel]] = {}
        for name, directory in model_dirs.items():
            found = _versions_of(name, Path(directory))
            chosen = found if all_versions else found[-1:]
            self._models[name] = {
                version: LoadedModel(name, Path(directory, str(version)))
                for version in chosen
            }

    def close(self) -> None:
        """Frees every model."""
        for loaded in self._models.values():
            for model in loaded.values():
                model.close()

    def find(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> LoadedModel:
        """Returns a version of a model.

        Args:
            name: the model's name.
            version: its number; None for the highest.
            label: labels are not assigned here, so any is an error.

        Raises:
            ServingError: there is no such model, version or label.
        """
        if label is not None:
            raise invalid(f"Unrecognized servable version label: {label}")
        loaded = self._models.get(name, {})
        wanted = max(loaded, default=None) if version is None else version
        if wanted not in loaded:
            asked = (
                f"Latest({name})" if version is None else f"Specific({name}, {version})"
            )
            raise ServingError("NOT_FOUND", f"Servable not found for request: {asked}")
        return loaded[wanted]

    def available(self, name: str, version: int | None = None) -> list[int]:
        """Returns the versions of a model that are loaded, highest first.

        Raises:
            ServingError: there is no such model or version.
        """
        loaded = sorted(self._models.get(name, {}), reverse=True)
        if version is not None and version not in loaded:
            message = f"Could not find version {version} of model {name}"
            raise ServingError("NOT_FOUND", message)
        if not loaded:
            message = f"Could not find any versions of model {name}"
            raise ServingError("NOT_FOUND", message)
        return loaded if version is None else [version]


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Hides the advice to load in TensorFlow 2's way, not wanted here."""
    level = tf.get_logger().level
    tf.get_logger().setLevel("ERROR")
    try:
        yield
    finally:
        tf.get_logger().setLevel(level)


def _versions_of(name: str, directory: Path) -> list[int]:
    found = versions(directory)
    if not found:
        raise MissingFileError(
            f"Expected a version of model {name!r} below {directory}, as in "
            f"{directory / '1'}; none is there. `keras-bert export` writes one."
        )
    return found


def _check_inputs(sent: Mapping, signature_inputs: Mapping) -> None:
    extra = sorted(set(sent) - set(signature_inputs))
    missing = sorted(set(signature_inputs) - set(sent))
    if extra or missing:
        required = sorted(signature_inputs)
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(required)} "
            f"len({{{','.join(sorted(sent))}}}) != len({{{','.join(required)}}}). "
            f"Sent extra: {{{','.join(extra)}}}. "
            f"Missing but required: {{{','.join(missing)}}}."
        )


def _check_outputs(wanted: Sequence[str], outputs: Mapping) -> None:
    for name in wanted:
        if name not in outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected "
                f"to be in the set {{{','.join(sorted(outputs))}}}."
            )


def _batch_of(examples: Sequence[bytes]) -> Arrays:
    if not examples:
        raise invalid("Input is empty.")
    return {"inputs": np.array(examples, object)}
