"""What HTTP itself gets wrong: lengths, pieces, time. Raw bytes against the server."""

import json
import re
import socket
import time

import pytest

from keras_bert.serving import Client
from keras_bert.serving.local_server.settings import Limits
from keras_bert.serving.server import Server

NAME = "m"
PREDICT = f"POST /v1/models/{NAME}:predict HTTP/1.1\r\nHost: a\r\n"
STATUS = f"GET /v1/models/{NAME} HTTP/1.1\r\nHost: a\r\n"
BODY = json.dumps({"instances": ["a good film"]})


@pytest.fixture(scope="module")
def server(directory):
    limits = Limits(max_request_bytes=10_000)
    with Server({NAME: directory}, limits=limits) as made:
        yield made


def connect(server):
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def read(connection):
    """All that comes until the server ends the connection."""
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def exchange(server, sent):
    """Statuses and last body of what is answered to bytes, to the connection's end."""
    with connect(server) as connection:
        connection.sendall(sent.encode("latin-1"))
        received = read(connection).decode()
    statuses = list(map(int, re.findall(r"HTTP/1\.1 (\d+) ", received)))
    return statuses, received.rpartition("\r\n\r\n")[2]


CLOSE = "Connection: close\r\n"


def test_a_get_with_a_body_is_one_request(server):
    smuggled = f"GET /v1/models/nope HTTP/1.1\r\n{CLOSE}\r\n"
    sent = f"{STATUS}{CLOSE}Content-Length: {len(smuggled)}\r\n\r\n{smuggled}"
    statuses, body = exchange(server, sent)
    assert statuses == [200]
    assert json.loads(body)["model_version_status"]


def test_a_request_after_a_get_with_a_body_is_answered(server):
    sent = f"{STATUS}Content-Length: 5\r\n\r\nGET /{STATUS}{CLOSE}\r\n"
    assert exchange(server, sent)[0] == [200, 200]


LENGTH, CHUNKED = f"Content-Length: {len(BODY)}\r\n", "Transfer-Encoding: chunked\r\n"
CHUNK = f"{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n"
AMBIGUOUS = {
    "the same length twice": f"{LENGTH}{LENGTH}\r\n{BODY}",
    "a list of lengths": f"Content-Length: {len(BODY)}, {len(BODY)}\r\n\r\n{BODY}",
    "two lengths": f"{LENGTH}Content-Length: 3\r\n\r\n{BODY}",
    "length and chunks": f"{LENGTH}{CHUNKED}\r\n{CHUNK}",
    "chunks and length": f"{CHUNKED}{LENGTH}\r\n{CHUNK}",
    "other codings": f"Transfer-Encoding: chunked, x\r\n\r\n{CHUNK}",
    "a sign": f"Content-Length: +{len(BODY)}\r\n\r\n{BODY}",
    "no digits": "Content-Length: many\r\n\r\n",
    "nothing": "Content-Length: \r\n\r\n",
    "5,000 digits": f"Content-Length: {'9' * 5000}\r\n\r\n",
    "a space before the colon": f"Content-Length : 3\r\n\r\n{BODY}",
    "a folded line": f"X: a\r\n b\r\n{LENGTH}\r\n{BODY}",
    "a chunk of no length": f"{CHUNKED}\r\nx\r\n",
    "a chunk of a huge length": f"{CHUNKED}\r\n{'f' * 5000}\r\n",
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_ambiguous_bodies_are_refused(server, case):
    statuses, _ = exchange(server, PREDICT + AMBIGUOUS[case])
    assert statuses == [400]


@pytest.mark.parametrize(
    "sent",
    [
        "GET / HTTP/9.9\r\n\r\n",
        "nonsense\r\n\r\n",
        "BREW /pot HTTP/1.1\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\n\r\n",
    ],
    ids=lambda sent: repr(sent[:20]),
)
def test_what_is_no_request_is_refused(server, sent):
    assert exchange(server, sent)[0] == [400]


@pytest.mark.parametrize("piece", ["a", "a: b\r\n"], ids=["one line", "many lines"])
def test_a_head_without_end_is_refused(server, piece):
    with connect(server) as connection, pytest.raises(OSError):
        connection.sendall(f"{STATUS}x".encode())
        for _ in range(1000):
            connection.sendall(piece.encode() * 10_000)
            time.sleep(0.001)
    assert Client(server.url, NAME).status() == {"1": "AVAILABLE"}


@pytest.mark.parametrize("length", ["80001", "1" + "0" * 18])
def test_bodies_too_large_are_refused_before_they_are_sent(server, length):
    with connect(server) as connection:
        connection.sendall(f"{PREDICT}Content-Length: {length}\r\n\r\n".encode())
        received = ""
        while "at most 10000 bytes" not in received:
            part = connection.recv(1 << 16).decode()
            assert part, received
            received += part
    assert received.startswith("HTTP/1.1 413 ")


def test_zeros_before_a_length_mean_nothing(server):
    sent = f"{PREDICT}{CLOSE}Content-Length: {'0' * 5000}{len(BODY)}\r\n\r\n{BODY}"
    assert exchange(server, sent)[0] == [200]


def test_a_body_in_chunks_is_read(server):
    statuses, body = exchange(server, f"{PREDICT}{CLOSE}{CHUNKED}\r\n{CHUNK}")
    assert statuses == [200] and json.loads(body)["predictions"]
    large = "ffff\r\n" + "x" * 0xFFFF + "\r\n"
    statuses, body = exchange(server, f"{PREDICT}{CLOSE}{CHUNKED}\r\n{large}0\r\n\r\n")
    assert statuses == [413] and "at most 10000 bytes" in body


def test_a_body_shorter_than_announced_is_not_answered(directory):
    with Server({NAME: directory}) as server, connect(server) as connection:
        connection.sendall(f"{PREDICT}Content-Length: 999\r\n\r\n{BODY}".encode())
        connection.shutdown(socket.SHUT_WR)
        assert read(connection) == b""
        assert b'API="predict"' not in server.metrics.page()


def test_a_client_that_trickles_loses_its_connection_and_no_other(directory):
    limits = Limits(max_request_seconds=0.5)
    with Server({NAME: directory}, limits=limits) as server:
        heads = [
            b"",
            STATUS[:9].encode(),
            f"{PREDICT}Content-Length: 99\r\n\r\n{{".encode(),
        ]
        open_ones = [connect(server) for _ in range(80) for _ in heads]
        for connection, head in zip(open_ones, heads * 80, strict=True):
            connection.sendall(head)
        # More than there are threads; none of them is held.
        assert Client(server.url, NAME).status() == {"1": "AVAILABLE"}
        trickling = open_ones[2]
        with pytest.raises(OSError):
            for _ in range(3000):
                trickling.sendall(b" ")
                time.sleep(0.01)
        for connection in open_ones[3:]:
            try:
                assert connection.recv(100) == b""
            except ConnectionResetError:
                pass
            connection.close()


NESTED = {
    "instances": '{"instances": %s}',
    "columns": '{"inputs": %s}',
    "named rows": '{"instances": [{"text": %s}]}',
    "signature": '{"signature_name": %s, "inputs": 1}',
    "unread": '{"instances": ["a"], "unread": %s}',
    "both forms": '{"instances": %s, "inputs": 1}',
    "no form": '{"x": %s}',
    "object for text": '{"inputs": {"text": {"b64": %s}}}',
    "the document": "%s",
}


@pytest.fixture(scope="module")
def roomy(directory):
    with Server({NAME: directory}) as made:
        yield made


def post(server, body, method="predict"):
    head = f"POST /v1/models/{NAME}:{method} HTTP/1.1\r\n{CLOSE}"
    return exchange(server, f"{head}Content-Length: {len(body)}\r\n\r\n{body}")


@pytest.mark.parametrize("depth", [33, 64, 65, 200, 900, 3000, 100_000])
@pytest.mark.parametrize("case", NESTED)
def test_depth_is_refused(roomy, case, depth):
    for nested in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        statuses, body = post(roomy, NESTED[case] % nested)
        expected = [200] if case == "unread" and depth < 3000 else [400]
        assert statuses == expected, body[:200]


NUMBERS = ["9" * 10, "9" * 100, "-" + "9" * 400, "9" * 5000, "1e400", "1e999999"]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: f"{n[:6]}x{len(n)}")
def test_big_numbers_are_refused(roomy, number):
    rows = {name: "[[1]]" for name in ("attention_mask", "token_type_ids")}
    ids = ", ".join(f'"{k}": {v}' for k, v in rows.items())
    bodies = {
        "predict": [
            f'{{"instances": [{number}]}}',
            f'{{"signature_name": "serve_ids", "inputs": {{"input_ids": [[{number}]], '
            f"{ids}}}}}",
            f'{{"signature_name": {number}, "instances": ["a"]}}',
        ],
        "classify": [
            f'{{"signature_name": "serve_examples", "examples": [{{"a": {number}}}]}}'
        ],
    }
    for method, sent in bodies.items():
        for body in sent:
            statuses, answer = post(roomy, body, method)
            assert statuses == [400], answer[:200]


@pytest.mark.parametrize(
    "version, status",
    [
        ("1", 200),
        ("0" * 5000 + "1", 200),
        ("1" + "0" * 19, 400),  # whose first digits are a version's
        ("9" * 5000, 400),
        (str(2**63), 400),
        (str(2**63 - 1), 404),
        ("00000000000000000000" + "9", 404),
    ],
    ids=lambda value: f"{str(value)[:6]}x{len(str(value))}",
)
def test_versions_of_any_length_are_right(roomy, version, status):
    sent = f"GET /v1/models/{NAME}/versions/{version} HTTP/1.1\r\n{CLOSE}\r\n"
    statuses, body = exchange(roomy, sent)
    assert statuses == [status], body[:200]
