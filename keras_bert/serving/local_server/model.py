"""One loaded SavedModel and the requests it answers, apart from any protocol.

Signatures run as TF Serving runs them: in a session, by the tensor names that
`saved_model.pb` gives, without the Python objects of TensorFlow 2. Names of errors
and their messages follow TF Serving's sources (`predict_util.cc`, `classifier.cc`,
`regressor.cc`, `multi_inference.cc`) and TensorFlow's (`saved_model/util.cc`).
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the operations of text signatures
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.saved_model.loader_impl import SavedModelLoader

from keras_bert.serving.local_server.batching import Arrays, Batcher, batch_key
from keras_bert.serving.local_server.errors import ServingError, invalid
from keras_bert.serving.local_server.metrics import Metrics
from keras_bert.serving.local_server.settings import Limits, whole_number

DEFAULT_SIGNATURE = "serving_default"

Signature = meta_graph_pb2.SignatureDef
Classes = list[list[tuple[str, float]]]


class LoadedModel:
    """One version of a model, ready to answer.

    Args:
        name: the model's name in requests.
        path: directory of the version, `<model>/<number>`.
        limits: how large a request may be.
        metrics: counts Examples, and times computing.
        batcher: lets requests share a batch; None computes each alone.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        limits: Limits | None = None,
        metrics: Metrics | None = None,
        batcher: Batcher | None = None,
    ):
        self.name, self.version = name, whole_number(path.name)
        self._limits, self._metrics = limits or Limits(), metrics or Metrics()
        self._batcher = batcher
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            # The public function does this too, and advises TensorFlow 2's way.
            graph = SavedModelLoader(str(path)).load(self._session, ["serve"])
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
        return self._run("Predict", name, inputs, output_filter or signature.outputs)

    def classify(self, examples: Sequence[bytes], signature_name: str = "") -> Classes:
        """Answers the Classify API: labels and scores of serialized tf.Examples."""
        name, outputs = self._on_examples(signature_name)
        if len(outputs) not in (1, 2):
            raise invalid(f"Expected one or two output Tensors, found {len(outputs)}")
        wanted = [key for key in ("classes", "scores") if key in outputs]
        found = self._run_examples("Classify", name, examples, wanted)
        shape = next(iter(found.values())).shape
        if len(shape) != 2:
            raise invalid(
                f"Expected Tensor shape: [batch_size num_classes] but got {list(shape)}"
            )
        labels = found.get("classes", np.full(shape, b"", object))
        scores = found.get("scores", np.zeros(shape, np.float32)).tolist()
        return [
            [(label.decode(errors="replace"), s) for label, s in zip(*row, strict=True)]
            for row in zip(labels, scores, strict=True)
        ]

    def regress(
        self, examples: Sequence[bytes], signature_name: str = ""
    ) -> list[float]:
        """Answers the Regress API: one value per serialized tf.Example."""
        name, outputs = self._on_examples(signature_name)
        if len(outputs) != 1:
            raise invalid("Expected one output Tensor.")
        wanted = [key for key in ("outputs",) if key in outputs]
        values = self._run_examples("Regress", name, examples, wanted)["outputs"]
        if values.shape not in ((len(examples),), (len(examples), 1)):
            raise invalid(
                "Expected output Tensor shape to be either [batch_size] or "
                f"[batch_size, 1] but got {list(values.shape)}"
            )
        return values.reshape(-1).tolist()

    def multi_inference(
        self, examples: Sequence[bytes], tasks: Sequence[tuple[str, str]]
    ) -> list[Classes | list[float]]:
        """Answers the MultiInference API: several questions on the same Examples.

        Args:
            examples: serialized.
            tasks: of each, the name of a signature and of a method.

        Returns:
            Of each task what `classify` or `regress` returns.

        Raises:
            ServingError: two tasks name one signature, or a signature or a method
                does not exist.
        """
        methods = {
            "tensorflow/serving/classify": self.classify,
            "tensorflow/serving/regress": self.regress,
        }
        names = [name or DEFAULT_SIGNATURE for name, _ in tasks]
        for index, (name, (_, method)) in enumerate(zip(names, tasks, strict=True)):
            if name in names[:index]:
                raise invalid(f"Duplicate evaluation of signature: {name}")
            if name not in self.signatures:
                raise invalid(f"Requested signature not found in model graph: {name}")
            if method not in methods:
                message = f"Unsupported signature method_name: {method}"
                raise ServingError("UNIMPLEMENTED", message)
        return [methods[method](examples, name) for name, method in tasks]

    # === Running ===

    def _on_examples(self, name: str) -> tuple[str, Mapping]:
        """Returns the name and the outputs of a signature on Examples."""
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise invalid(f"No signature was found with the name: {name}")
        if len(self.signatures[name].inputs) != 1:
            raise invalid("Expected one input Tensor.")
        return name, self.signatures[name].outputs

    def _run_examples(
        self, api: str, name: str, examples: Sequence[bytes], wanted: Sequence[str]
    ) -> Arrays:
        signature = self.signatures[name]
        if not wanted or "inputs" not in signature.inputs:
            raise invalid(f"Expected a signature to {api}. Signature was: {signature}")
        if not examples:
            raise invalid("Input is empty.")
        self._metrics.examples.labels(self.name).inc(len(examples))
        return self._run(api, name, {"inputs": np.array(examples, object)}, wanted)

    def _run(self, api: str, name: str, inputs: Arrays, wanted: Iterable) -> Arrays:
        self._limits.check(inputs)
        signature, wanted = self.signatures[name], tuple(sorted(wanted))
        compute = partial(self._compute, signature, wanted)
        with self._metrics.running(self.name, api):
            if self._batcher is None:
                return compute(inputs)
            key = batch_key(signature, inputs)
            kind = key and (id(self), name, wanted, key)
            return self._batcher.run(kind, inputs, compute)

    def _compute(
        self, signature: Signature, wanted: Sequence[str], inputs: Arrays
    ) -> Arrays:
        fed = {signature.inputs[name].name: array for name, array in inputs.items()}
        fetches = {name: signature.outputs[name].name for name in wanted}
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


def _check_inputs(sent: Mapping[str, np.ndarray], expected: Mapping) -> None:
    received, required = (",".join(sorted(names)) for names in (sent, expected))
    extra, missing = (
        sorted(set(sent) - set(expected)),
        sorted(set(expected) - set(sent)),
    )
    if len(sent) != len(expected):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(expected)}"
            f" len({{{received}}}) != len({{{required}}}). "
            f"Sent extra: {{{','.join(extra)}}}. "
            f"Missing but required: {{{','.join(missing)}}}."
        )
    if missing:
        name = missing[0]
        raise invalid(
            f"Signature input alias: {name}(feed name: {expected[name].name}) "
            "not found in request and no default value provided. Inputs expected to be "
            f"in the request {{{received}}}, or default input alias set: "
        )
    # Python's session would convert another type silently; the server's refuses it.
    for index, name in enumerate(sorted(sent)):
        wanted = tf.as_dtype(expected[name].dtype)
        given = tf.as_dtype(sent[name].dtype)
        if given != wanted:
            raise invalid(
                f"Expects arg[{index}] to be {type_name(wanted)} but "
                f"{type_name(given)} is provided"
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
