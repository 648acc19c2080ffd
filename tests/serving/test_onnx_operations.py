"""Operations of TensorFlow in ONNX: what ONNX Runtime computes of them."""

import numpy as np
import pytest
import tensorflow as tf

from keras_bert import BertConfig
from keras_bert.errors import ConfigError
from keras_bert.layers import LayerNorm
from keras_bert.layers.fused import gelu, gelu_new
from keras_bert.serving.runtimes.onnx_export import onnx_function
from keras_bert.serving.runtimes.onnx_operations import FORMS
from tests.bounds import assert_close
from tests.extras import needs

A = np.array([[0.5, -1.5, 2.0], [0.25, 3.0, -0.75]], np.float32)
B = np.array([[1.5, 0.5, -2.0], [2.0, -0.5, 0.75]], np.float32)
M = np.array([[5, -7, 0], [-3, 2, 8]], np.int32)
N = np.array([[2, 2, -3], [-4, 5, 3]], np.int32)
PLACES = np.array([1, 0, 1], np.int32)

# A function, and arrays to call it with; axes are free.
CASES = {
    "unary": (
        lambda a: [
            f(a)
            for f in (
                tf.abs,
                tf.math.ceil,
                tf.cos,
                tf.nn.elu,
                tf.math.erf,
                tf.math.erfc,
                tf.exp,
                tf.floor,
                tf.nn.log_softmax,
                tf.negative,
                tf.math.reciprocal,
                tf.nn.relu,
                tf.nn.selu,
                tf.sigmoid,
                tf.sign,
                tf.sin,
                tf.nn.softmax,
                tf.nn.softplus,
                tf.nn.softsign,
                tf.square,
                tf.tanh,
            )
        ],
        A,
    ),
    "positive": (
        lambda a: [f(tf.abs(a)) for f in (tf.sqrt, tf.math.rsqrt, tf.math.log)],
        A,
    ),
    "binary": (
        lambda a, b: (
            [
                f(a, b)
                for f in (
                    tf.add,
                    tf.subtract,
                    tf.multiply,
                    tf.divide,
                    tf.maximum,
                    tf.minimum,
                    tf.math.squared_difference,
                    tf.math.floordiv,
                    tf.math.floormod,
                )
            ]
            + [tf.pow(tf.abs(a), b), tf.nn.bias_add(a, b[0])]
        ),
        A,
        B,
    ),
    "integers": (
        lambda m, n: [f(m, n) for f in (tf.math.floordiv, tf.math.floormod, tf.add)],
        M,
        N,
    ),
    "comparisons": (
        lambda a, b: [
            f(a, b)
            for f in (
                tf.equal,
                tf.not_equal,
                tf.less,
                tf.less_equal,
                tf.greater,
                tf.greater_equal,
            )
        ],
        A,
        np.where(B > 1, A, B),
    ),
    "logic": (
        lambda a, b: [
            (a > 0) & (b > 0),
            (a > 0) | (b > 0),
            ~(a > 0),
            tf.where(a > 0, a, b),
        ],
        A,
        B,
    ),
    "reductions": (
        lambda a: [
            tf.reduce_sum(a, 0),
            tf.reduce_mean(a, -1, keepdims=True),
            tf.reduce_max(a),
            tf.reduce_min(a, [0, 1]),
            tf.reduce_prod(a, 1),
            tf.cumsum(a, 1),
            tf.cumsum(a, 0, exclusive=True, reverse=True),
        ],
        A,
    ),
    "products": (
        lambda a, b: [
            tf.matmul(a, b, transpose_b=True),
            tf.matmul(a, b, transpose_a=True),
            tf.matmul(a[None], b[None], transpose_b=True),
            tf.linalg.matmul(tf.stack([a, b]), tf.stack([b, a]), adjoint_a=True),
            tf.einsum("ij,kj->ik", a, b),
        ],
        A,
        B,
    ),
    "casts": (
        lambda a, m: [
            tf.cast(a, tf.int32),
            tf.cast(m, tf.float32) / 3.0,
            tf.cast(a > 0, tf.int32),
            tf.cast(m, tf.bool),
            tf.cast(m, tf.int64),
            tf.cast(a, tf.float16),
        ],
        A,
        M,
    ),
    "shapes": (
        lambda a: [
            tf.reshape(a, [-1, 2]),
            tf.reshape(a, [tf.shape(a)[1], tf.shape(a)[0]]),
            tf.transpose(a),
            tf.transpose(a, [0, 1]) + 1.0,
            tf.expand_dims(a, -1),
            tf.squeeze(a[:, :1], 1),
            tf.ensure_shape(tf.squeeze(a[None]), [None, None]),
            tf.size(a),
            tf.tile(a, [2, 1]),
            tf.broadcast_to(a, [2, *tf.unstack(tf.shape(a))]),
            tf.fill(tf.shape(a), 0.5),
            tf.zeros_like(a),
            tf.ones_like(a, tf.int32),
            tf.range(tf.shape(a)[1]),
        ],
        A,
    ),
    "parts": (
        lambda a, b: [
            tf.concat([a, b], 1),
            tf.stack([a, b], 1),
            *tf.unstack(tf.ensure_shape(a, [None, 3]), axis=1),
            *tf.split(tf.ensure_shape(a, [2, None]), 2),
            tf.pad(a, [[0, 1], [2, tf.shape(a)[1]]]),
            tf.pad(a, [[1, 0], [0, 0]], constant_values=-1.0),
        ],
        A,
        B,
    ),
    "slices": (
        lambda a: [
            a[0],
            a[-1, 1],
            a[:, -1],
            a[1:, :-1],
            a[:, ::2],
            a[:, ::-1],
            a[..., 0],
            a[:, None, 1:],
            a[..., None],
            a[tf.newaxis, ..., tf.newaxis, -2:],
            a[tf.shape(a)[0] - 1, : tf.shape(a)[1] - 1],
        ],
        A,
    ),
    "places": (
        lambda a, i: [
            tf.gather(a, i),
            tf.gather(a, i, axis=1),
            tf.gather(a, tf.stack([i, i - 1])[:, :2] % 3, batch_dims=1),
            tf.gather_nd(a, tf.stack([i, i], 1)),
            tf.where(a > 0),
            tf.scatter_nd(i[:2, None], a, [4, tf.shape(a)[1]]),
            tf.scatter_nd(i[:, None], tf.ones_like(i), [3]),
            tf.tensor_scatter_nd_update(a, i[:1, None], a[:1]),
            tf.one_hot(i, 3, on_value=2.0, off_value=-1.0),
            *tf.math.top_k(a, 2),
            tf.argsort(i, direction="DESCENDING", stable=True),
        ],
        A,
        PLACES,
    ),
    "what changes nothing": (
        lambda a: [
            tf.identity(a),
            tf.identity_n([a, a + 1.0])[1],
            tf.stop_gradient(a),
            tf.ensure_shape(a, [None, 3]),
            tf.debugging.check_numerics(a, "no"),
            tf.raw_ops.PreventGradient(input=a),
        ],
        A,
    ),
}


def trace(function, arrays):
    """Traces a function of arrays of any size; its outputs are made float32."""

    def named(*values):
        outputs = enumerate(function(*values))
        return {f"output_{i}": tf.cast(x, tf.float32) for i, x in outputs}

    specs = [
        tf.TensorSpec([None] * array.ndim, array.dtype, f"input_{i}")
        for i, array in enumerate(arrays)
    ]
    return tf.function(named, autograph=False).get_concrete_function(*specs)


def to_onnx(traced, variables=None):
    return onnx_function(traced, ["rows", "columns"], variables or {}, {})


def run(model, arrays):
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    inputs = {f"input_{i}": array for i, array in enumerate(arrays)}
    return dict(zip(names, session.run(names, inputs), strict=True))


def nodes(model):
    return [node.op_type for node in model.graph.node if node.op_type != "Identity"]


@pytest.mark.parametrize("case", CASES)
def test_equal_to_tensorflow(case):
    needs("onnx", "onnxruntime")
    function, *arrays = CASES[case]
    traced = trace(function, arrays)
    expected = {
        name: x.numpy() for name, x in traced(*map(tf.constant, arrays)).items()
    }
    actual = run(to_onnx(traced), arrays)
    assert {k: v.shape for k, v in actual.items()} == {
        k: v.shape for k, v in expected.items()
    }
    assert_close(actual, expected)


def test_every_entry_of_the_table_is_tested():
    types = {
        operation.type
        for function, *arrays in CASES.values()
        for operation in trace(function, arrays).graph.get_operations()
    }
    on_variables = {"ReadVariableOp", "ResourceGather"}
    assert set(FORMS) - types == on_variables


def test_variables_have_names_and_are_stored_once():
    needs("onnx", "onnxruntime")
    own, other = tf.Variable(A), tf.Variable(B, name="other")

    def function(i):
        looked_up = tf.raw_ops.ResourceGather(
            resource=own.handle, indices=i, dtype=tf.float32
        )
        return [looked_up, tf.gather(own, i), own + other.read_value()]

    traced = trace(function, [PLACES])
    model = to_onnx(traced, {"a/kernel": own})
    assert {x.name for x in model.graph.initializer} == {"a/kernel", "other:0"}
    expected = {name: x.numpy() for name, x in traced(tf.constant(PLACES)).items()}
    assert_close(run(model, [PLACES]), expected)


def test_what_needs_no_input_is_computed_before():
    needs("onnx")
    model = to_onnx(trace(lambda a: [a * tf.exp(tf.range(2.0)) @ tf.ones([2, 3])], [A]))
    assert nodes(model) == ["Mul", "MatMul"]


def test_functions_that_are_called_are_written_in_place():
    needs("onnx", "onnxruntime")
    scale = tf.constant(3.0)
    inner = tf.function(lambda x, y: (x * scale, x - y), autograph=False)

    def function(a, b):
        product, difference = inner(a, b)
        return [inner(product, difference)[1]]

    traced = trace(function, [A, B])
    assert "PartitionedCall" in {x.type for x in traced.graph.get_operations()}
    expected = traced(tf.constant(A), tf.constant(B))["output_0"].numpy()
    assert_close(run(to_onnx(traced), [A, B])["output_0"], expected)


def test_the_same_is_computed_once():
    needs("onnx")
    model = to_onnx(trace(lambda a: [tf.exp(a) + tf.exp(a), tf.sin(a)[:0]], [A]))
    assert nodes(model) == ["Exp", "Add", "Sin", "Slice"]


def layer_norm(epsilon):
    sizes = {"hidden_size": 3, "num_attention_heads": 1, "layer_norm_eps": epsilon}
    layer = LayerNorm(BertConfig.preset("tiny", vocab_size=7, **sizes))
    layer.build()
    layer.gamma.assign(A[1])
    return lambda a: [layer(a)]


WEIGHTS, BIAS = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.float32), B[0]


@pytest.mark.parametrize(
    "function, expected",
    [
        (layer_norm(0.5), ["LayerNormalization"]),
        (layer_norm(1e-12), ["LayerNormalization"]),
        (lambda a: [gelu(a)], ["Gelu"]),
        (lambda a: [gelu_new(a)], ["Gelu"]),
        (lambda a: [tf.nn.gelu(a)], ["Gelu"]),
        (lambda a: [tf.nn.gelu(a, approximate=True)], ["Gelu"]),
        (lambda a: [tf.nn.bias_add(a @ WEIGHTS, BIAS)], ["Gemm"]),
        (lambda a: [a @ tf.transpose(WEIGHTS) + BIAS], ["Gemm"]),
        (lambda a: [tf.matmul(a, WEIGHTS, transpose_b=True) + BIAS], ["Gemm"]),
        (lambda a: [tf.reshape(a @ WEIGHTS, [-1, 1, 3]) + BIAS], ["Gemm", "Reshape"]),
        (lambda a: [a @ tf.transpose(a)], ["Gemm"]),
        # Formulas of the same operations that are something else.
        (
            lambda a: [tf.reshape(a @ WEIGHTS, [-1, 6]) + tf.tile(BIAS, [2])],
            ["MatMul", "Reshape", "Add"],
        ),
        (lambda a: [a @ WEIGHTS + a], ["MatMul", "Add"]),
        (
            lambda a: [0.5 * a * tf.math.erfc(a * -0.7)],
            ["Mul", "Mul", "Erf", "Sub", "Mul"],
        ),
    ],
)
def test_larger_operations(function, expected):
    needs("onnx", "onnxruntime")
    traced = trace(function, [A * 3])
    model = to_onnx(traced)
    assert nodes(model) == expected
    assert_close(
        run(model, [A * 3])["output_0"], traced(tf.constant(A * 3))["output_0"]
    )


def test_operations_without_a_form_are_refused():
    needs("onnx")
    with pytest.raises(ConfigError, match="Received: Atan2, as") as error:
        to_onnx(trace(lambda a, b: [tf.atan2(a, b)], [A, B]))
    assert "onnx_operations.py" in str(error.value)
