"""What the client refuses before anything is sent, the same over both protocols."""

import math

import numpy as np
import pytest

from keras_bert.errors import InputError
from keras_bert.serving import Client
from keras_bert.serving.client import RequestError

pytest.importorskip("grpc")


@pytest.fixture(params=["rest", "grpc"])
def protocol(request):
    return request.param


@pytest.fixture
def sent(protocol):
    """A client, and what it hands to its transport."""
    client, sent = Client("localhost:1", "m", protocol=protocol), []

    def predict(signature, inputs):
        sent.append(inputs)
        return {"label": ["x"] * len(next(iter(inputs.values())))}

    client.transport.predict = predict
    return client, sent


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("timeout", value) for value in (-1, 0, math.nan, math.inf, "3", True, 1e12)),
        *(("retries", value) for value in (-1, 1.5, "2", None, True)),
        *(("wait", value) for value in (-0.1, math.nan, math.inf, "1", None)),
        *(("version", value) for value in (-1, "3", 1.0, True, 2**63)),
        *(("label", value) for value in (1, b"stable", "\ud800")),
        *(("model", value) for value in ("", None, b"m", "\udcff")),
    ],
)
def test_arguments(protocol, name, value):
    arguments = {"host": "localhost", "model": "m", "protocol": protocol, name: value}
    with pytest.raises(InputError, match=f"as {name}. Received"):
        Client(**arguments)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "a:port",
        "a:0",
        "a:99999",
        "ftp://a",
        "[::1",
        "::1",
        "a/b",
        None,
        8501,
    ],
)
def test_addresses(protocol, host):
    with pytest.raises(InputError, match="address of a server: HOST"):
        Client(host, "m", protocol=protocol)


def test_an_encrypted_address_is_of_rest_only():
    assert Client("https://a.b/c/", "m").url == "https://a.b/c/v1/models/m"
    for host in ("https://a", "http://a:8500", "grpc://a"):
        with pytest.raises(InputError, match=r"HOST or HOST:PORT\. Received"):
            Client(host, "m", protocol="grpc")


@pytest.mark.parametrize(
    ("host", "rest", "grpc"),
    [
        ("a", "http://a:8501", "a:8500"),
        ("a_b.c:80", "http://a_b.c:80", "a_b.c:80"),
        ("[::1]", "http://[::1]:8501", "[::1]:8500"),
        ("[::1]:80", "http://[::1]:80", "[::1]:80"),
    ],
)
def test_ports(host, rest, grpc):
    assert Client(host, "m").url == f"{rest}/v1/models/m"
    assert Client(host, "m", protocol="grpc").url == f"{grpc}/m"


@pytest.mark.parametrize(
    ("texts", "at_fault"),
    [
        ("a", "one string"),
        (b"a", "one bytes"),
        (None, "one NoneType"),
        (3, "one int"),
        ({"text": "a"}, "one dict"),
        (["a", None], "None' of type NoneType as item 1"),
        (["a", b"b"], "of type bytes as item 1"),
        ([1.5], "'1.5' of type float as item 0"),
        (["a", "b", "\ud83d"], "of type str as item 2"),
        (["a", ["b"]], "of type list as item 1"),
        ([["a"], ["b", "c"]], "of type list as item 1"),
        ([["a", None]], "of type list as item 0"),
    ],
)
def test_texts(sent, texts, at_fault):
    client, inputs = sent
    with pytest.raises(InputError, match=at_fault):
        client.predict(texts)
    if texts is not None:
        with pytest.raises(InputError, match=at_fault):
            client.predict(["a"] * 3, texts)
    assert inputs == []


def test_texts_in_arrays_and_tuples(sent):
    client, inputs = sent
    client.predict(np.array(["a", "b"]), (("c", "d"), ["e", "f"]))
    assert inputs == [{"text": ["a", "b"], "text_pair": [["c", "d"], ["e", "f"]]}]


ANSWERS = {
    "nothing": {},
    "a list": [],
    "a number": {"outputs": 3},
    "rows of other lengths": {"outputs": {"label": ["x"], "score": [1, 2]}},
    "other rows": {"outputs": {"label": ["x"]}},
    "no name of the output": {"outputs": ["x", "y"]},
}


@pytest.mark.parametrize("case", ANSWERS)
def test_answers_of_other_servers(case):
    client = Client("localhost:1", "m", wait=0)
    client.transport.request = lambda *_: ANSWERS[case]
    with pytest.raises(RequestError, match="as TF Serving gives it from http"):
        client.predict(["a", "b"])
    if case in ("nothing", "a list"):
        for ask in (client.status, client.metadata):
            with pytest.raises(RequestError, match="as TF Serving gives it"):
                ask()


@pytest.mark.parametrize(
    "ids",
    [
        *([[1, 2], [3]], [[1 << 31]], [[-(1 << 31) - 1]], [[1.5]], [[1.0]], [["a", 3]]),
        *([[None]], [[True]], [[b"1"]], np.ones((2, 2)), np.array([[1 << 40]]), "12"),
    ],
)
def test_ids(sent, ids):
    client, inputs = sent
    with pytest.raises(InputError, match=r"equal length for input_ids\. Received: "):
        client.predict_ids({"input_ids": ids})
    assert inputs == []


def test_ids_in_arrays_and_lists(sent):
    client, inputs = sent
    expected = [[1, 2], [3, -4]]
    for ids in (expected, np.array(expected), np.array(expected, "int32")):
        client.predict_ids({"input_ids": ids})
    assert inputs == [{"input_ids": expected}] * 3
