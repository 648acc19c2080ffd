"""One loaded SavedModel and the requests it answers, apart from any protocol.

Signatures run as TF Serving runs them: in a session, by the tensor names that
`saved_model.pb` gives, without the Python objects of TensorFlow 2. Names of errors
and their messages follow TF Serving's sources (`predict_util.cc`, `classifier.cc`,
`regressor.cc`, `multi_inference.cc`) and TensorFlow's (`saved_model/util.cc`).
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the operations of text signatures
from tensorflow.core.protobuf import meta_graph_pb2

from keras_bert.serving.double.batching import Batcher
from keras_bert.serving.double.errors import ServingError, invalid
from keras_bert.serving.double.limits import Limits
from keras_bert.serving.double.merging import Arrays, Merger
from keras_bert.serving.double.metrics import Metrics

DEFAULT_SIGNATURE = "serving_default"

Signature = meta_graph_pb2.SignatureDef
Classes = list[list[tuple[str, float]]]


@dataclass(frozen=True)
class Running:
    """How requests run: what is refused, what is counted, what shares a batch."""

    limits: Limits = field(default_factory=Limits)
    metrics: Metrics = field(default_factory=Metrics)
    batcher: Batcher | None = None


class LoadedModel:
    """One version of a model, ready to answer.

    Args:
        name: the model's name in requests.
        path: directory of the version, `<model>/<number>`.
        running: how its requests run.
    """

    def __init__(self, name: str, path: Path, running: Running | None = None):
        self.name = name
        self.version = int(path.name)
        self._running = running or Running()
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default(), _without_warnings():
            graph = tf.compat.v1.saved_model.load(self._session, ["serve"], str(path))
        self.signatures: Mapping[str, Signature] = graph.signature_def

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
        wanted = output_filter or sorted(signature.outputs)
        return self._run("Predict", signature, inputs, wanted)

    def classify(self, examples: Sequence[bytes], signature_name: str = "") -> Classes:
        """Answers the Classify API: labels and scores of serialized tf.Examples."""
        return self._classify(examples, self._classification(signature_name))

    def regress(
        self, examples: Sequence[bytes], signature_name: str = ""
    ) -> list[float]:
        """Answers the Regress API: one value per serialized tf.Example."""
        return self._regress(examples, self._regression(signature_name))

    def multi_inference(
        self, examples: Sequence[bytes], tasks: Sequence[tuple[str, str]]
    ) -> list[tuple[str, Classes | list[float]]]:
        """Answers the MultiInference API: several questions on the same Examples.

        Args:
            examples: serialized.
            tasks: of each, the name of a signature and of a method.

        Returns:
            Of each task, its kind (`"classification"`, `"regression"`) and answer.

        Raises:
            ServingError: two tasks name one signature, or a signature or a method
                does not exist.
        """
        names = [name or DEFAULT_SIGNATURE for name, _ in tasks]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise invalid(f"Duplicate evaluation of signature: {name}")
            if name not in self.signatures:
                raise invalid(f"Requested signature not found in model graph: {name}")
        checked = [
            self._method(method)(name)
            for name, (_, method) in zip(names, tasks, strict=True)
        ]
        answers = []
        for signature in checked:
            kind, run = ("classification", self._classify)
            if "outputs" in signature.outputs:
                kind, run = ("regression", self._regress)
            answers.append((kind, run(examples, signature)))
        return answers

    # === Signatures on Examples ===

    def _method(self, name: str):
        methods = {
            "tensorflow/serving/classify": self._classification,
            "tensorflow/serving/regress": self._regression,
        }
        if name not in methods:
            message = f"Unsupported signature method_name: {name}"
            raise ServingError("UNIMPLEMENTED", message)
        return methods[name]

    def _classification(self, name: str) -> Signature:
        signature = self._examples_signature(name)
        if len(signature.outputs) not in (1, 2):
            found = len(signature.outputs)
            raise invalid(f"Expected one or two output Tensors, found {found}")
        _check_examples(signature, "classification")
        if not {"classes", "scores"} & set(signature.outputs):
            raise invalid(
                "Expected classification signature outputs to contain at least one of "
                f'"classes" or "scores". Signature was: {signature}'
            )
        return signature

    def _regression(self, name: str) -> Signature:
        signature = self._examples_signature(name)
        if len(signature.outputs) != 1:
            raise invalid("Expected one output Tensor.")
        _check_examples(signature, "regression")
        if "outputs" not in signature.outputs:
            raise invalid(f"No regression outputs found in SignatureDef: {signature}")
        return signature

    def _examples_signature(self, name: str) -> Signature:
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise invalid(f"No signature was found with the name: {name}")
        if len(self.signatures[name].inputs) != 1:
            raise invalid("Expected one input Tensor.")
        return self.signatures[name]

    def _classify(self, examples: Sequence[bytes], signature: Signature) -> Classes:
        wanted = sorted({"classes", "scores"} & set(signature.outputs))
        inputs = self._batch_of(examples)
        outputs = self._run("Classify", signature, inputs, wanted)
        shape = next(iter(outputs.values())).shape
        if len(shape) != 2:
            raise invalid(
                f"Expected Tensor shape: [batch_size num_classes] but got {list(shape)}"
            )
        labels = outputs.get("classes", np.full(shape, b"", object))
        scores = outputs.get("scores", np.zeros(shape, np.float32))
        return [
            [
                (label.decode(errors="replace"), float(score))
                for label, score in zip(*row, strict=True)
            ]
            for row in zip(labels, scores, strict=True)
        ]

    def _regress(self, examples: Sequence[bytes], signature: Signature) -> list[float]:
        inputs = self._batch_of(examples)
        values = self._run("Regress", signature, inputs, ["outputs"])["outputs"]
        if values.shape not in ((len(examples),), (len(examples), 1)):
            raise invalid(
                "Expected output Tensor shape to be either [batch_size] or "
                f"[batch_size, 1] but got {list(values.shape)}"
            )
        return [float(value) for value in values.reshape(-1)]

    # === Running ===

    def _batch_of(self, examples: Sequence[bytes]) -> Arrays:
        if not examples:
            raise invalid("Input is empty.")
        self._running.metrics.examples.add(len(examples), self.name)
        return {"inputs": np.array(examples, object)}

    def _run(
        self, api: str, signature: Signature, inputs: Arrays, wanted: Sequence[str]
    ) -> Arrays:
        self._running.limits.check(inputs)
        fetches = {name: signature.outputs[name].name for name in wanted}
        feeds = {name: info.name for name, info in signature.inputs.items()}
        compute = partial(self._compute, fetches, feeds)
        merger, batcher = Merger(signature), self._running.batcher
        key = merger.key(inputs)
        with self._running.metrics.running(self.name, api):
            if batcher is None or key is None:
                return compute(inputs)
            kind = (id(self), *sorted(feeds.items()), *fetches.items(), key)
            return batcher.run(kind, inputs, merger, compute)

    def _compute(
        self, fetches: Mapping[str, str], feeds: Mapping[str, str], inputs: Arrays
    ) -> Arrays:
        fed = {feeds[name]: array for name, array in inputs.items()}
        try:
            outputs = self._session.run(fetches, fed)
        except tf.errors.OpError as error:
            # Python's session puts a heading in front; the server's own has none.
            message = error.message.removeprefix("Graph execution error:").strip()
            raise ServingError(code_of(error), message) from error
        except ValueError as error:  # a shape the session itself refuses
            raise invalid(str(error)) from error
        for name, value in outputs.items():
            if value is None:  # of an operation that has no output, as initialization
                raise invalid(
                    f"Tensor {fetches[name]}:0, specified in either feed_devices or "
                    "fetch_devices was not found in the Graph"
                )
        return outputs


def code_of(error: tf.errors.OpError) -> str:
    """Returns the name of the gRPC status of a TensorFlow error."""
    codes = vars(tf.errors).items()
    return next(name for name, code in codes if code == error.error_code)


def type_name(kind: tf.DType) -> str:
    """Returns a type's name as TensorFlow's messages write it."""
    return {"float32": "float", "float64": "double"}.get(kind.name, kind.name)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Hides the advice to load in TensorFlow 2's way, not wanted here."""
    level = tf.get_logger().level
    tf.get_logger().setLevel("ERROR")
    try:
        yield
    finally:
        tf.get_logger().setLevel(level)


def _check_inputs(sent: Mapping[str, np.ndarray], signature_inputs: Mapping) -> None:
    extra = sorted(set(sent) - set(signature_inputs))
    missing = sorted(set(signature_inputs) - set(sent))
    received, required = (",".join(sorted(names)) for names in (sent, signature_inputs))
    if len(sent) != len(signature_inputs):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(signature_inputs)}"
            f" len({{{received}}}) != len({{{required}}}). "
            f"Sent extra: {{{','.join(extra)}}}. "
            f"Missing but required: {{{','.join(missing)}}}."
        )
    if missing:
        name = missing[0]
        raise invalid(
            f"Signature input alias: {name}(feed name: {signature_inputs[name].name}) "
            "not found in request and no default value provided. Inputs expected to be "
            f"in the request {{{received}}}, or default input alias set: "
        )
    # Python's session would convert another type silently; the server's refuses it.
    for index, name in enumerate(sorted(sent)):
        expected = tf.as_dtype(signature_inputs[name].dtype)
        received = tf.as_dtype(sent[name].dtype)
        if received != expected:
            raise invalid(
                f"Expects arg[{index}] to be {type_name(expected)} but "
                f"{type_name(received)} is provided"
            )


def _check_outputs(wanted: Sequence[str], outputs: Mapping) -> None:
    for index, name in enumerate(wanted):
        if name not in outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected "
                f"to be in the set {{{','.join(sorted(outputs))}}}."
            )
        if name in wanted[:index]:
            raise invalid(f"duplicate output tensor alias: {name}")


def _check_examples(signature: Signature, kind: str) -> None:
    if "inputs" not in signature.inputs:
        raise invalid(f"No {kind} inputs found in SignatureDef: {signature}")
