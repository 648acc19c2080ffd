"""A model as an ONNX graph: written from its layers, with fused operations.

Written, not traced: an encoder is twenty operations, and so the graph holds each
weight once, reads like the model, and does not depend on the backend Keras runs on.
Dense layers and LayerNorm run on the real tokens of a batch alone, as in
`keras_bert.serving.graph.unpadded`; only attention goes back to rows, as long as the
longest one.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_bert.axes import names
from keras_bert.config import ACTIVATIONS
from keras_bert.errors import ConfigError
from keras_bert.features import SERVED_INPUTS
from keras_bert.models import PreTrainedModel, heads
from keras_bert.version import __version__

if TYPE_CHECKING:
    import onnx

OPSET = 20  # the first with Gelu
IR_VERSION = 10  # the format of files in the time of that set
LARGEST = 2**31  # bytes of a protocol buffer

# Added to scores. Finite in float16, and beside any real score as good as infinite.
# The own tokens of a row of padding come before those of other rows.
HIDDEN, OUTSIDE = -3e4, -6e4

# What an output holds at padding, where it is not 0: no answer begins or ends there.
AT_PADDING = {"start_logits": -1e9, "end_logits": -1e9}


def onnx_model(model: PreTrainedModel) -> "onnx.ModelProto":
    """Returns a model as ONNX.

    Args:
        model: any model of this package whose head is one of the package's own.

    Returns:
        A graph from `input_ids`, `attention_mask` and `token_type_ids`, int32
        `(batch, seq)` or `(batch, choices, seq)` of any size, to the model's outputs
        by name, float32. At padding they hold zeros, start and end logits -1e9;
        hidden states and attentions are computed at padding too, if asked for.

    Raises:
        ConfigError: the head is not one of the package's, or weights are quantized.

    Example:
        >>> import keras_bert
        >>> config = keras_bert.BertConfig.preset("tiny", vocab_size=7)
        >>> onnx_model(keras_bert.BertForMaskedLM(config)).graph.output[0].name
        'logits'
    """
    if model.head not in _HEADS:
        raise ConfigError(
            "Expected a model with a head of this package for ONNX. Received: "
            f"{type(model).__name__} with {model.head.__name__}. Export its encoder, "
            "a BertModel, and compute the head after it."
        )
    graph = Graph()
    encoder = _Encoder(graph, model)
    encoder.encode()
    outputs = {
        **_HEADS[model.head](encoder, model.head_layers),
        **_states(encoder, model.config),
    }
    return graph.finish(outputs, _inputs(model), _shapes(model), _about(model))


# === Writing graphs ===


class Graph:
    """An ONNX graph to which operations are added by calling it.

    Values are known by their names; arrays and numbers become initializers.

    Example:
        >>> graph = Graph()
        >>> graph("Add", "x", 1.0)
        'Add_0'
    """

    def __init__(self):
        import onnx

        self._onnx = onnx
        self._nodes: list[onnx.NodeProto] = []
        self._arrays: dict[str, np.ndarray] = {}
        self._scope = ""

    def within(self, scope: str) -> None:
        """Names the operations to come after a place in the model.

        Args:
            scope: such as "layer_0/attention"; "" ends it.
        """
        self._scope = f"{scope}/" if scope else ""

    def __call__(self, operation: str, *inputs: Any, **attributes: Any) -> str:
        """Adds an operation with one output and returns that output's name.

        Args:
            operation: its name in ONNX, such as "MatMul".
            *inputs: names of values, arrays, or numbers: int64 or float32.
            **attributes: of the operation.
        """
        name = f"{self._scope}{operation}_{len(self._nodes)}"
        inputs = [self._value(value) for value in inputs]
        node = self._onnx.helper.make_node(
            operation, inputs, [name], name=name, **attributes
        )
        self._nodes.append(node)
        return name

    def weight(self, name: str, array: np.ndarray) -> str:
        """Adds an initializer, once, and returns its name.

        Raises:
            ConfigError: it is larger than a protocol buffer can be.
        """
        if array.nbytes >= LARGEST:
            raise ConfigError(
                f"Expected weights below 2 GiB each for ONNX. Received: {name} of "
                f"{array.nbytes / 2**30:.1f} GiB."
            )
        self._arrays.setdefault(name, array)
        return name

    def _value(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        return self.weight(f"constant/{array.dtype}/{array.tolist()}", array)

    def finish(
        self,
        outputs: Mapping[str, str],
        inputs: list["onnx.ValueInfoProto"],
        shapes: Mapping[str, list],
        about: Mapping[str, str],
    ) -> "onnx.ModelProto":
        """Returns the model.

        Args:
            outputs: names of values by the names they get outside.
            inputs: the model's inputs.
            shapes: of the outputs, by name.
            about: notes to store in the file.
        """
        make = self._onnx.helper
        to_array = self._onnx.numpy_helper.from_array
        float32 = self._onnx.TensorProto.FLOAT
        self.within("")
        for name, value in outputs.items():
            self._nodes.append(make.make_node("Identity", [value], [name], name=name))
        graph = make.make_graph(
            self._nodes,
            "keras_bert",
            inputs,
            [make.make_tensor_value_info(n, float32, shapes[n]) for n in outputs],
            [to_array(array, name) for name, array in self._arrays.items()],
        )
        proto = make.make_model(
            graph,
            opset_imports=[make.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="keras_bert",
            producer_version=__version__,
        )
        make.set_model_props(proto, dict(about))
        return proto


# === The encoder ===


class _Encoder:
    """Writes an encoder; its values are `(tokens, …)`, the tokens of all rows.

    Attributes:
        hidden: the last hidden state, `(tokens, hidden)`.
        hidden_states, attentions: names, in order.
    """

    def __init__(self, graph: Graph, model: PreTrainedModel):
        self.graph, self.model, self.config = graph, model, model.config
        self.hidden_states: list[str] = []
        self.attentions: list[str] = []
        # Those who ask for inner states get them at padding too.
        self._everywhere = (
            model.config.output_hidden_states or model.config.output_attentions
        )

    def encode(self) -> None:
        """Writes everything up to the last hidden state."""
        self.graph.within("tokens")
        self._find_tokens()
        self._place_heads()
        self._bias()
        self._embed()
        for number, block in enumerate(self.model.encoder.blocks):
            self.graph.within(f"layer_{number}")
            self._block(block)

    # --- Where the tokens are ---

    def _find_tokens(self) -> None:
        g = self.graph
        if self.model.choices:
            self.choices = g("Shape", SERVED_INPUTS[0], start=1, end=2)
        rows = {name: self._rows(name) for name in SERVED_INPUTS}
        shape = g("Shape", rows["attention_mask"])
        self.batch = g("Gather", shape, [0])
        self.seq = g("Gather", shape, [1])
        kept = self._kept(rows["attention_mask"], shape)  # (batch, seq)
        # A one beside the counts: there may be no rows.
        self.counts = g("ReduceSum", g("Cast", kept, to=7), [1], keepdims=0)
        some = g("Concat", self.counts, [1], axis=0)
        self.longest = g("ReduceMax", some, keepdims=0)
        self.starts = g("CumSum", self.counts, 0, exclusive=1)
        self.kept = g("Reshape", kept, [-1])
        self.places = g("Reshape", g("NonZero", self.kept), [-1])  # (tokens,)
        self.tokens = {name: self._take(value) for name, value in rows.items()}

    def _rows(self, name: str) -> str:
        if not self.model.choices:
            return name
        seq = self.graph("Shape", name, start=2)
        return self.graph("Reshape", name, self.graph("Concat", [-1], seq, axis=0))

    def _kept(self, mask: str, shape: str) -> str:
        """The first token is what classifiers pool, and every row then has one."""
        g = self.graph
        if self._everywhere:
            return g("Expand", np.array(True), shape)
        first = g("Equal", g("Range", 0, g("Squeeze", self.seq), 1), 0)
        return g("Or", g("Greater", mask, np.int32(0)), first)

    def _take(self, rows: str) -> str:
        """Takes the tokens of a padded batch: `(batch, seq)` -> `(tokens,)`."""
        return self.graph(
            "Gather", self.graph("Reshape", rows, [-1]), self.places, axis=0
        )

    def put_back(self, values: str, width: int = 0, at_padding: float = 0.0) -> str:
        """Makes a padded batch: `(tokens, width)` -> `(batch, seq, width)`.

        Args:
            values: name of the values.
            width: size of their last axis; 0 if they have one axis only.
            at_padding: what to fill padding with.
        """
        g = self.graph
        last = [[width]] if width else []
        shape = g("Concat", self.batch, self.seq, *last, axis=0)
        if self._everywhere:
            return g("Reshape", values, shape)
        size = g("Concat", g("Mul", self.batch, self.seq), *last, axis=0)
        empty = g("Expand", float(at_padding), size)
        places = g("Unsqueeze", self.places, [1])
        return g("Reshape", g("ScatterND", empty, places, values), shape)

    # --- Rows for attention ---

    def _place_heads(self) -> None:
        """Indices from `(tokens 3 heads)` to rows and heads, and back.

        Heads are divided off first, so that one gathering both makes rows and brings
        the heads to the front.
        """
        g, num_heads = self.graph, self.config.num_attention_heads
        column = g("Range", 0, self.longest, 1)
        self.inside = g("Less", column, g("Unsqueeze", self.counts, [1]))
        last = g("Sub", g("Size", self.places), 1)
        token = g("Add", g("Unsqueeze", self.starts, [1]), column)
        self.token = g("Min", token, g("Max", last, 0))  # (batch, longest)
        rows = g("Mul", g("Unsqueeze", self.token, [1]), 3 * num_heads)
        head = np.arange(num_heads)[:, None]
        self.parts = [g("Add", rows, head + num_heads * part) for part in range(3)]
        found = g("NonZero", self.inside)  # row and column, of tokens
        row = g("Unsqueeze", g("Gather", found, 0, axis=0), [1])
        place = g("Unsqueeze", g("Gather", found, 1, axis=0), [1])
        first = g("Add", g("Mul", row, num_heads), head[:, 0])
        self.back = g("Add", g("Mul", first, self.longest), place)  # (tokens, heads)

    def _bias(self) -> None:
        """What `AttentionBias` of the layers adds, `(batch, 1, longest, longest)`."""
        g = self.graph
        pieces = g("Gather", self.tokens["attention_mask"], self.token, axis=0)
        to, origin = g("Unsqueeze", pieces, [1]), g("Unsqueeze", pieces, [2])
        own = g("Or", g("Equal", origin, to), g("Equal", origin, np.int32(0)))
        visible = g("And", g("Greater", to, np.int32(0)), own)
        if self.config.is_decoder:
            column = g("Range", 0, self.longest, 1)
            earlier = g("LessOrEqual", column, g("Unsqueeze", column, [1]))
            visible = g("And", visible, earlier)
        shown = g("Where", visible, 0.0, HIDDEN)
        bias = g("Where", g("Unsqueeze", self.inside, [1]), shown, OUTSIDE)
        self.bias = g("Unsqueeze", bias, [1])

    # --- Layers ---

    def _embed(self) -> None:
        g, layer = self.graph, self.model.encoder.embeddings
        g.within("embeddings")
        position = g("Mod", self.places, self.seq)
        looked_up = [
            g("Gather", self.table(layer.word_embeddings), self.tokens["input_ids"]),
            g(
                "Gather",
                self.table(layer.token_type_embeddings),
                self.tokens["token_type_ids"],
            ),
            g("Gather", self.table(layer.position_embeddings), position),
        ]
        total = g("Add", g("Add", *looked_up[:2]), looked_up[2])
        self._state(self.norm(layer.layer_norm, total))
        if self.model.encoder.projection:
            self.hidden_states.pop()
            self._state(self.dense(self.model.encoder.projection, self.hidden))

    def _state(self, hidden: str) -> None:
        self.hidden = hidden
        self.hidden_states.append(hidden)

    def _block(self, block: keras.layers.Layer) -> None:
        g = self.graph
        context = self._attend(block.attention)
        hidden = self.norm(block.attention_norm, g("Add", context, self.hidden))
        feed_forward = block.feed_forward
        wide = self.dense(feed_forward.intermediate_dense, hidden)
        wide = self.activate(feed_forward.hidden_act, wide)
        change = self.dense(feed_forward.output_dense, wide)
        self._state(self.norm(block.feed_forward_norm, g("Add", change, hidden)))

    def _attend(self, attention: keras.layers.Layer) -> str:
        g, head_dim = self.graph, attention.head_dim
        width = head_dim * attention.num_attention_heads
        layers = (attention.query, attention.key, attention.value)
        path = attention.query.kernel.path.rsplit("/", 2)[0]
        kernel = np.concatenate([_array(layer.kernel) for layer in layers], axis=1)
        bias = np.concatenate([_array(layer.bias) for layer in layers])
        projected = g(
            "Gemm",
            self.hidden,
            g.weight(f"{path}/query_key_value/kernel", kernel),
            g.weight(f"{path}/query_key_value/bias", bias),
        )
        flat = g("Reshape", projected, [-1, head_dim])  # (tokens 3 heads) head_dim
        query, key, value = (g("Gather", flat, part, axis=0) for part in self.parts)
        scores = g("MatMul", query, g("Transpose", key, perm=[0, 1, 3, 2]))
        scores = g("Add", g("Mul", scores, head_dim**-0.5), self.bias)
        probabilities = g(
            "Softmax", scores, axis=-1
        )  # (batch, heads, longest, longest)
        self.attentions.append(probabilities)
        context = g("Reshape", g("MatMul", probabilities, value), [-1, head_dim])
        context = g("Gather", context, self.back, axis=0)  # (tokens, heads, head_dim)
        return self.dense(attention.output_dense, g("Reshape", context, [-1, width]))

    def dense(self, layer: keras.layers.Dense, values: str) -> str:
        """Applies a dense layer without its activation."""
        kernel = self.graph.weight(layer.kernel.path, _array(layer.kernel))
        bias = self.graph.weight(layer.bias.path, _array(layer.bias))
        return self.graph("Gemm", values, kernel, bias)

    def norm(self, layer: keras.layers.Layer, values: str) -> str:
        """Applies LayerNorm."""
        weights = (
            self.graph.weight(variable.path, _array(variable))
            for variable in (layer.gamma, layer.beta)
        )
        return self.graph(
            "LayerNormalization", values, *weights, axis=-1, epsilon=layer.epsilon
        )

    def table(self, layer: keras.layers.Embedding) -> str:
        """Adds an embedding table."""
        return self.graph.weight(layer.embeddings.path, _array(layer.embeddings))

    def activate(self, hidden_act: str, values: str) -> str:
        """Applies an activation by its name in the config."""
        return _ACTIVATIONS[ACTIVATIONS[hidden_act]](self.graph, values)

    def pooled(self) -> str:
        """Applies the pooler to the first token of every row, `(batch, hidden)`."""
        first = self.graph("Gather", self.hidden, self.starts, axis=0)
        return self.graph("Tanh", self.dense(self.model.encoder.pooler.dense, first))


_ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "gelu": lambda g, x: g("Gelu", x),
    "gelu_new": lambda g, x: g("Gelu", x, approximate="tanh"),
    "relu": lambda g, x: g("Relu", x),
    "silu": lambda g, x: g("Mul", x, g("Sigmoid", x)),
    "tanh": lambda g, x: g("Tanh", x),
    "linear": lambda g, x: x,
}


def _array(variable: Any) -> np.ndarray:
    """Returns a weight as float32."""
    array = keras.ops.convert_to_numpy(variable)
    if not np.issubdtype(array.dtype, np.floating) and str(array.dtype) != "bfloat16":
        raise ConfigError(
            f"Expected weights in floats for ONNX. Received: {variable.path} in "
            f"{array.dtype}. Export the model before it is quantized, and quantize "
            "for the runtime."
        )
    return np.ascontiguousarray(array, np.float32)


# === Heads ===


def _encoder_outputs(e: _Encoder, head: Any) -> dict[str, str]:
    outputs = {"last_hidden_state": e.put_back(e.hidden, e.config.hidden_size)}
    if e.model.encoder.pooler is not None:
        e.graph.within("pooler")
        outputs["pooler_output"] = e.pooled()
    return outputs


def _language_model(e: _Encoder, head: Any) -> dict[str, str]:
    """Logits at every position."""
    g, transform = e.graph, head.transform
    g.within("masked_lm")
    hidden = e.activate(transform.hidden_act, e.dense(transform.dense, e.hidden))
    hidden = e.norm(transform.layer_norm, hidden)
    table = e.table(e.model.encoder.embeddings.word_embeddings)
    bias = g.weight(head.bias.bias.path, _array(head.bias.bias))
    logits = g("Gemm", hidden, table, bias, transB=1)  # (tokens, vocab)
    return {"logits": e.put_back(logits, e.config.vocab_size)}


def _next_sentence(e: _Encoder, head: Any) -> dict[str, str]:
    e.graph.within("next_sentence")
    return {"logits": e.dense(head.next_sentence, e.pooled())}


def _pretraining(e: _Encoder, head: Any) -> dict[str, str]:
    return {
        "prediction_logits": _language_model(e, head)["logits"],
        "seq_relationship_logits": _next_sentence(e, head)["logits"],
    }


def _sequence_classification(e: _Encoder, head: Any) -> dict[str, str]:
    e.graph.within("classifier")
    return {"logits": e.dense(head.classifier, e.pooled())}


def _token_classification(e: _Encoder, head: Any) -> dict[str, str]:
    e.graph.within("classifier")
    logits = e.dense(head.classifier, e.hidden)
    return {"logits": e.put_back(logits, e.config.num_labels)}


def _question_answering(e: _Encoder, head: Any) -> dict[str, str]:
    e.graph.within("qa_outputs")
    logits = e.dense(head.qa_outputs, e.hidden)
    return {
        name: e.put_back(
            e.graph("Gather", logits, column, axis=1), at_padding=AT_PADDING[name]
        )
        for column, name in enumerate(("start_logits", "end_logits"))
    }


def _multiple_choice(e: _Encoder, head: Any) -> dict[str, str]:
    e.graph.within("classifier")
    scores = e.dense(head.classifier, e.pooled())  # (batch choices, 1)
    shape = e.graph("Concat", [-1], e.choices, axis=0)
    return {"logits": e.graph("Reshape", scores, shape)}


_HEADS: dict[type, Callable[[_Encoder, Any], dict[str, str]]] = {
    heads.EncoderOutputs: _encoder_outputs,
    heads.MaskedLM: _language_model,
    heads.CausalLM: _language_model,
    heads.NextSentence: _next_sentence,
    heads.PreTraining: _pretraining,
    heads.SequenceClassification: _sequence_classification,
    heads.TokenClassification: _token_classification,
    heads.QuestionAnswering: _question_answering,
    heads.MultipleChoice: _multiple_choice,
}


def _states(e: _Encoder, config: Any) -> dict[str, str]:
    """Hidden states and attentions, as far as the config asks for them."""
    outputs = {}
    if config.output_hidden_states:
        for i, state in enumerate(e.hidden_states):
            outputs[f"hidden_states_{i}"] = e.put_back(state, config.hidden_size)
    if config.output_attentions:
        outputs |= {f"attentions_{i}": name for i, name in enumerate(e.attentions)}
    return outputs


# === What stands on the outside ===


def _inputs(model: PreTrainedModel) -> list["onnx.ValueInfoProto"]:
    from onnx import TensorProto, helper

    axes = names("batch choices seq" if model.choices else "batch seq")
    return [
        helper.make_tensor_value_info(name, TensorProto.INT32, list(axes))
        for name in SERVED_INPUTS
    ]


def _shapes(model: PreTrainedModel) -> dict[str, list]:
    """Returns the outputs' shapes by name: sizes, and names of axes that are free."""
    outputs = model.output
    outputs = outputs if isinstance(outputs, dict) else {"logits": outputs}
    free = "choices" if model.choices else "seq"
    shapes = {}
    for name, value in outputs.items():
        several = isinstance(value, (tuple, list))
        parts = {f"{name}_{i}": v for i, v in enumerate(value)} if several else {}
        for key, tensor in (parts or {name: value}).items():
            rest = [free if size is None else size for size in tensor.shape[1:]]
            shapes[key] = ["batch", *rest]
    return shapes


def _about(model: PreTrainedModel) -> dict[str, str]:
    import json

    return {
        "model": type(model).__name__,
        "config": json.dumps(model.config.to_dict(), sort_keys=True),
    }
