"""Requests that share a batch: each gets the answer it would have got alone."""

import copy
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from keras_bert import BertTokenizer
from keras_bert.errors import ConfigError
from keras_bert.features import SERVED_INPUTS
from keras_bert.serving.export import export
from keras_bert.serving.local_server.batching import Batcher, batch_key
from keras_bert.serving.local_server.errors import ServingError, invalid
from keras_bert.serving.local_server.metrics import Metrics
from keras_bert.serving.local_server.model import LoadedModel
from keras_bert.serving.local_server.settings import BatchingParameters
from tests.bounds import assert_close
from tests.serving.cases import CONFIG, PAIRS, TEXTS, VOCAB, make_model


def signature(inputs, outputs):
    """A signature of names and open (None) or fixed sizes."""
    made = meta_graph_pb2.SignatureDef()
    for field, shapes in ((made.inputs, inputs), (made.outputs, outputs)):
        for name, shape in shapes.items():
            dims = field[name].tensor_shape.dim
            for size in shape:
                dims.add(size=-1 if size is None else size)
    return made


ON_TEXT = signature({"text": [None]}, {"logits": [None, 3]})
ON_TOKENS = signature({"text": [None]}, {"logits": [None, None, 3]})
ON_PAIRS = signature({"a": [None], "b": [None]}, {"logits": [None, 3]})
ON_IDS = signature(
    {name: [None, None] for name in SERVED_INPUTS},
    {"pooled": [None, 5], "hidden": [None, None, 5]},
)


def text(*values):
    return {"text": np.array(values, object)}


def rows(batch, length, seed=0):
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, CONFIG.vocab_size, (batch, length), np.int32)
    mask = (np.arange(length) <= rng.integers(0, length, (batch, 1))).astype(np.int32)
    return dict(zip(SERVED_INPUTS, (ids, mask, np.zeros_like(ids)), strict=True))


# === What may share a batch ===


ALONE = {
    "no rows": (ON_TEXT, text()),
    "a scalar": (ON_TEXT, {"text": np.array(b"a", object)}),
    # Three and two would make five and five with a request of two and three.
    "unequal rows": (
        ON_PAIRS,
        {"a": np.array([b"a"] * 3, object), "b": np.array([b"b"] * 2, object)},
    ),
    "a length that follows from the text": (ON_TOKENS, text(b"a")),
    "outputs of unknown rank": (
        meta_graph_pb2.SignatureDef(
            outputs={"x": {"tensor_shape": {"unknown_rank": True}}}
        ),
        text(b"a"),
    ),
}


@pytest.mark.parametrize("case", ALONE)
def test_what_could_change_an_answer_runs_alone(case):
    assert batch_key(*ALONE[case]) is None


def test_equal_shapes_share_a_batch_whatever_their_rows():
    assert batch_key(ON_TEXT, text(b"a")) == batch_key(ON_TEXT, text(b"b", b"c"))
    assert batch_key(ON_IDS, rows(1, 4)) == batch_key(ON_IDS, rows(3, 4))
    assert batch_key(ON_IDS, rows(1, 4)) != batch_key(ON_IDS, rows(1, 5))
    flat, wide = ({"text": np.array([v], object)} for v in ([b"a"], [b"a", b"b"]))
    assert batch_key(ON_TEXT, flat) != batch_key(ON_TEXT, wide)


# === The queue ===


class Compute:
    """Lengths of texts; waits until it is let go, and notes the batches."""

    def __init__(self):
        self.batches, self.go = [], threading.Event()

    def __call__(self, inputs):
        self.batches.append(inputs["text"].tolist())
        assert self.go.wait(30)
        if b"bad" in self.batches[-1]:
            raise invalid("a bad text")
        lengths = [[len(value)] * 3 for value in self.batches[-1]]
        return {"logits": np.array(lengths).reshape(-1, 3)}


@pytest.fixture
def compute():
    made = Compute()
    yield made
    made.go.set()


def batcher_of(**parameters):
    fast = {"batch_timeout_micros": 0, "num_batch_threads": 1}
    return Batcher(BatchingParameters(**(fast | parameters)), Metrics())


def ask(batcher, compute, *values):
    inputs = text(*values)
    return batcher.run(batch_key(ON_TEXT, inputs), inputs, compute)["logits"]


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as made:
        yield made


def waiting(batcher):
    return sum(len(queue) for queue in batcher._waiting.values())


def after_the_first(batcher, compute, pool, *requests):
    """Asks once, and the others while the only thread computes that."""
    first = pool.submit(ask, batcher, compute, b"first")
    until(lambda: compute.batches)
    others = []
    for request in requests:
        others.append(pool.submit(ask, batcher, compute, *request))
        until(lambda: waiting(batcher) == len(others))
    return first, others


def test_requests_that_wait_share_a_batch(compute, pool):
    batcher = batcher_of(max_batch_size=5)
    first, others = after_the_first(
        batcher, compute, pool, [b"1"], [b"22", b"333"], [b"4444"], [b"5", b"6"]
    )
    compute.go.set()
    assert first.result()[0, 0] == 5
    assert [f.result()[:, 0].tolist() for f in others] == [[1], [2, 3], [4], [1, 1]]
    # The last request would have made six rows.
    shared = [[b"first"], [b"1", b"22", b"333", b"4444"], [b"5", b"6"]]
    assert compute.batches == shared
    batcher.close()


def test_a_wrong_request_spoils_only_its_own_answer(compute, pool):
    batcher = batcher_of()
    _, others = after_the_first(batcher, compute, pool, [b"1"], [b"bad"], [b"22"])
    compute.go.set()
    good, bad, other = others
    assert (good.result()[0, 0], other.result()[0, 0]) == (1, 2)
    with pytest.raises(ServingError, match="a bad text"):
        bad.result()
    assert compute.batches[2:] == [[b"1"], [b"bad"], [b"22"]]
    batcher.close()


def test_too_many_that_wait_are_refused(compute, pool):
    batcher = batcher_of(max_batch_size=2, max_enqueued_batches=1)
    _, others = after_the_first(batcher, compute, pool, [b"1"], [b"2"])
    with pytest.raises(ServingError, match=r"scheduling queue .* full$") as caught:
        ask(batcher, compute, b"3")
    assert caught.value.code == "UNAVAILABLE"
    compute.go.set()
    assert [future.result()[0, 0] for future in others] == [1, 1]
    batcher.close()


def test_a_large_request_runs_alone(compute, pool):
    batcher = batcher_of(max_batch_size=3, batch_timeout_micros=60_000_000)
    compute.go.set()
    waits = pool.submit(ask, batcher, compute, b"small")
    values = [b"x" * i for i in range(8)]
    until(lambda: waiting(batcher))
    assert batcher_of(max_batch_size=3).run("kind", text(*values), compute)["logits"][
        :, 0
    ].tolist() == list(range(8))
    assert compute.batches == [values]
    batcher.close()
    assert waits.result()[0, 0] == 5


def test_what_waits_at_the_end_is_still_computed(compute, pool):
    batcher = batcher_of(batch_timeout_micros=60_000_000)
    answer = pool.submit(ask, batcher, compute, b"1")
    until(lambda: waiting(batcher))
    compute.go.set()
    batcher.close()
    assert answer.result()[0, 0] == 1
    with pytest.raises(ServingError, match="shutting down") as caught:
        ask(batcher, compute, b"2")
    assert caught.value.code == "UNAVAILABLE"


def test_a_full_batch_does_not_wait_for_its_time(compute, pool):
    batcher = batcher_of(batch_timeout_micros=60_000_000, max_batch_size=2)
    compute.go.set()
    answers = [pool.submit(ask, batcher, compute, b"1") for _ in range(2)]
    assert [answer.result(30)[0, 0] for answer in answers] == [1, 1]
    batcher.close()


@pytest.mark.parametrize("name", ["max_batch_size", "max_enqueued_batches"])
def test_parameters_are_checked(name):
    with pytest.raises(ConfigError, match=f"{name} of at least 1"):
        BatchingParameters(**{name: 0})


# === Real models ===


@pytest.fixture(
    scope="module",
    params=["tokens"]
    + [pytest.param(case, marks=pytest.mark.slow) for case in ("classes", "states")],
)
def path(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp(request.param)
    export(make_model(request.param), directory, BertTokenizer(VOCAB), max_length=13)
    return Path(directory, "1")


def serialized(value):
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
    features = tf.train.Features(feature={"text": feature})
    return tf.train.Example(features=features).SerializeToString()


def objects(values):
    return np.array([value.encode() for value in values], object)


def requests_of(model):
    """Several requests on each signature, as (inputs, signature)."""
    pairs = zip(TEXTS, PAIRS, strict=True)
    made = [
        *(({"text": objects([t])}, "serving_default") for t in TEXTS),
        *(
            ({"text": objects([t]), "text_pair": objects([p])}, "serve_pairs")
            for t, p in pairs
        ),
        *((rows(2, 5, seed=i), "serve_ids") for i in range(3)),
        *((rows(2, 7, seed=i), "serve_ids") for i in range(4)),
        *(
            ({"inputs": np.array([serialized(t)], object)}, "serve_examples")
            for t in TEXTS
        ),
    ]
    return [request for request in made if request[1] in model.signatures]


def test_batches_change_no_answer(path):
    # Long enough for all to arrive; a batch of four requests is full before.
    parameters = BatchingParameters(8, batch_timeout_micros=200_000)
    metrics = Metrics()
    batcher = Batcher(parameters, metrics)
    shared = LoadedModel("m", path, metrics=metrics, batcher=batcher)
    alone = copy.copy(shared)  # the same session
    alone._batcher = None
    requests = requests_of(shared)
    wrong = rows(2, 5)
    wrong["input_ids"][0, 0] = 99  # must spoil no neighbor
    with ThreadPoolExecutor(len(requests) + 1) as pool:
        spoilt = pool.submit(shared.predict, wrong, "serve_ids")
        answers = list(pool.map(lambda r: shared.predict(*r), requests))
    with pytest.raises(ServingError, match=r"Expected input_ids from 0 to 36.*\[99\]"):
        spoilt.result()
    for (inputs, signature_name), answer in zip(requests, answers, strict=True):
        expected = alone.predict(inputs, signature_name)
        assert set(answer) == set(expected)
        for name, value in expected.items():
            assert answer[name].shape == value.shape, (signature_name, name)
            if value.dtype == object:
                assert answer[name].tolist() == value.tolist()
            else:
                assert_close(answer[name], value)
    # The wrong one's neighbors ran again, each alone; the four ids of 7 ran together.
    [batches] = re.findall(rb"wrapped_run_count (\d+)", metrics.page())
    assert int(batches) < len(requests)
    batcher.close()
    shared.close()
