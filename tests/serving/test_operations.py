"""Running the double: metrics, health, limits, and an orderly end."""

import http.client
import json
import os
import re
import signal
import socket
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from keras_bert.cli import main
from keras_bert.errors import CheckpointError
from keras_bert.serving import Client
from keras_bert.serving.client import RequestError
from keras_bert.serving.double import rest
from keras_bert.serving.double.http_server import InHand
from keras_bert.serving.double.metrics import Counter, Histogram, Metrics
from keras_bert.serving.server import Server
from tests.serving.cases import TEXTS

NAME = "m"


def get(url):
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read().decode(), response.headers["Content-Type"]


# === Metrics and health ===

SAMPLE = re.compile(r'[a-zA-Z_:][\w:]*\{(\w+="[^"]*",?)*\} \d+(\.\d+)?(e\+?\d+)?')


def samples(page):
    """Values by name and labels; every line has Prometheus' form."""
    found = {}
    for line in page.splitlines():
        if line.startswith("#"):
            assert re.fullmatch(r"# TYPE [\w:]+ (counter|histogram)", line)
            continue
        assert SAMPLE.fullmatch(line), line
        name, value = line.rsplit(" ", 1)
        assert name not in found
        found[name] = float(value)
    return found


def test_metrics_count_what_was_answered(directory):
    grpc_port = 0 if has_grpc() else None
    with Server({NAME: directory}, grpc_port=grpc_port) as server:
        client = Client(server.url, NAME)
        for _ in range(3):
            client.predict(TEXTS)
        body = {"signature_name": "serve_examples", "examples": [{"text": "a"}] * 7}
        client.transport.request(":classify", body)
        with pytest.raises(RequestError):
            client.predict(["a"], signature_name="nope")
        with pytest.raises(RequestError):
            Client(server.url, "made-up").predict(["a"])
        over_grpc = 0
        if grpc_port is not None:
            over_grpc = len(
                Client(server.grpc_address, NAME, protocol="grpc").predict(["a"])
            )
        page, kind = get(f"{server.url}/monitoring/prometheus/metrics")
    assert kind == "text/plain"
    found = samples(page)
    tfs = ":tensorflow:serving"
    count = f'{tfs}:request_count{{model_name="m",status='
    assert found[count + '"OK"}'] == 4 + over_grpc
    assert found[count + '"INVALID_ARGUMENT"}'] == 1
    # Names that clients make up are not kept.
    assert found[f'{tfs}:request_count{{model_name="",status="NOT_FOUND"}}'] == 1
    assert "made-up" not in page
    latency = f'{tfs}:request_latency_count{{model_name="m",API="predict"'
    assert found[latency + ',entrypoint="REST"}'] == 3
    assert found[f'{tfs}:request_example_count_total{{model="m"}}'] == 7
    assert found[f"{tfs}:batching_session:wrapped_run_count{{}}"] >= 4
    assert found[f"{tfs}:batching_session:processed_batch_size_sum{{}}"] == (
        3 * len(TEXTS) + 7 + over_grpc
    )


def has_grpc():
    try:
        import tensorflow_serving.apis  # noqa: F401
    except ImportError:
        return False
    return True


def test_histograms_are_cumulative_and_labels_escaped():
    histogram = Histogram("h", "who", limits=[1, 10])
    for value in (0.5, 1, 5, 100):
        histogram.add(value, 'a "b"\\\n')
    label = r'who="a \"b\"\\\n"'
    assert list(histogram.lines()) == [
        f'h_bucket{{{label},le="1"}} 2',
        f'h_bucket{{{label},le="10"}} 3',
        f'h_bucket{{{label},le="+Inf"}} 4',
        f"h_sum{{{label}}} 106.5",
        f"h_count{{{label}}} 4",
    ]


def test_failures_are_counted_and_not_timed():
    metrics = Metrics()
    with pytest.raises(ZeroDivisionError), metrics.observed("m", "Predict", "REST"):
        raise ZeroDivisionError
    found = samples(metrics.text())
    assert found == {
        ':tensorflow:serving:request_count{model_name="m",status="INTERNAL"}': 1
    }


def test_counters_lose_nothing_between_threads():
    counter = Counter("c", "who")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: counter.add(1, "a"), range(4000)))
    assert list(counter.lines()) == ['c{who="a"} 4000']


def test_health(directory):
    with Server({NAME: directory}) as server:
        assert json.loads(get(f"{server.url}/healthz")[0]) == {"status": "SERVING"}


@pytest.mark.parametrize(
    "sent, status",
    [(b"GET / HTTP/9.9", 505), (b"nonsense", 400), (b"BREW /pot HTTP/1.1", 501)],
)
def test_what_is_no_http_is_refused_in_json(directory, sent, status):
    with Server({NAME: directory}) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(sent + b"\r\n\r\n")
            received = b"".join(iter(lambda: connection.recv(4096), b""))
    head, _, body = received.rpartition(b"\r\n\r\n")
    assert list(json.loads(body)) == ["error"]
    assert not head or f" {status} ".encode() in head.splitlines()[0]


# === An orderly end ===


@pytest.fixture
def slow(monkeypatch):
    """Makes a status request wait; tells when it has begun."""
    begun, go = threading.Event(), threading.Event()
    status = rest.METHODS["status"]

    def wait(*args):
        begun.set()
        assert go.wait(30)
        return status(*args)

    monkeypatch.setitem(rest.METHODS, "status", wait)
    yield begun, go
    go.set()


def test_requests_in_hand_are_answered_and_new_ones_refused(directory, slow):
    begun, go = slow
    server = Server({NAME: directory}).start()
    host = server.url.removeprefix("http://")
    kept = http.client.HTTPConnection(host, timeout=30)
    kept.request("GET", f"/v1/models/{NAME}/metadata")
    assert kept.getresponse().read()
    with ThreadPoolExecutor(2) as pool:
        in_hand = pool.submit(Client(server.url, NAME).status)
        assert begun.wait(30)
        closing = pool.submit(server.close)
        refused = None
        while refused is None:  # until the closing has begun
            try:
                get(f"{server.url}/healthz")
            except urllib.error.HTTPError as error:
                with error:
                    refused = error.code, json.load(error)
        assert refused == (503, {"error": "The server is shutting down."})
        kept.request("GET", f"/v1/models/{NAME}/metadata")
        response = kept.getresponse()
        assert (response.status, response.headers["Connection"]) == (503, "close")
        response.read()
        go.set()
        assert in_hand.result() == {"1": "AVAILABLE"}
        closing.result(30)
    with pytest.raises(RequestError):
        Client(server.url, NAME, retries=0).status()


def test_a_connection_kept_open_is_refused_after_the_end(directory):
    server = Server({NAME: directory}).start()
    connection = http.client.HTTPConnection(
        server.url.removeprefix("http://"), timeout=30
    )
    connection.request("GET", f"/v1/models/{NAME}")
    assert connection.getresponse().read()
    server.close()
    body = json.dumps({"instances": TEXTS})
    connection.request("POST", f"/v1/models/{NAME}:predict", body)
    response = connection.getresponse()
    assert response.status == 503
    assert json.load(response) == {"error": "The server is shutting down."}
    connection.close()


def test_the_grace_is_bounded(directory, slow):
    begun, _ = slow
    server = Server({NAME: directory}).start()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(Client(server.url, NAME, retries=0).status)
        assert begun.wait(30)
        server.close(grace=0.01)  # returns although a request is in hand
        slow[1].set()
        assert asking.exception(30) is None or asking.exception().status == 503


def test_in_hand_waits_for_all():
    requests = InHand()
    assert requests.enter() and requests.enter()
    assert not requests.refuse(grace=0.01)
    requests.leave()
    requests.leave()
    assert requests.refuse(grace=30)
    assert not requests.enter()


def test_sigterm_ends_the_command_in_order(directory, capsys, monkeypatch):
    wait = Server.wait

    def told_to_stop(self):
        os.kill(os.getpid(), signal.SIGTERM)
        wait(self)

    monkeypatch.setattr(Server, "wait", told_to_stop)
    before = signal.getsignal(signal.SIGTERM)
    arguments = ["--model", f"{NAME}={directory}", "--port", "0", "--no-grpc"]
    assert main(["serve", *arguments]) == 0
    assert signal.getsignal(signal.SIGTERM) is before
    assert "not TF Serving" in capsys.readouterr().out


# === The command ===


def test_the_command_passes_on_its_settings(directory, monkeypatch, capsys):
    made = []

    class Fake:
        url, grpc_address = "http://here", None

        def __init__(self, *args, **settings):
            made.append((args, settings))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def wait(self):
            pass

    monkeypatch.setattr("keras_bert.serving.server.Server", Fake)
    base = ["serve", "--model", "a=x", "--model", "b=y", "--no-grpc"]
    options = ["--versions", "all", "--label", "stable=1", "--label", "b:canary=2"]
    batching = ["--max-batch-size", "7", "--num-batch-threads", "3"]
    limits = ["--max-rows", "9", "--file-system-poll-wait-seconds", "0"]
    assert main([*base, *options, *batching, *limits]) == 0
    [(args, settings)] = made
    assert args[0] == {"a": "x", "b": "y"}
    assert settings["labels"] == {"a": {"stable": 1}, "b": {"stable": 1, "canary": 2}}
    assert settings["versions"] == "all"
    assert settings["batching"].max_batch_size == 7
    assert settings["batching"].num_batch_threads == 3
    assert settings["limits"].max_rows == 9
    assert settings["file_system_poll_wait_seconds"] == 0
    assert settings["grpc_port"] is None
    assert main([*base, "--no-batching"]) == 0
    assert made[1][1]["batching"] is None


@pytest.mark.parametrize("label", ["stable", "stable=x", "c:stable=1", "=1"])
def test_the_command_explains_labels(label, capsys):
    assert main(["serve", "--model", "a=x", "--label", label]) == 2
    assert "LABEL=VERSION" in capsys.readouterr().err


def test_defaults_of_the_command_are_those_of_the_server():
    from keras_bert.cli import parser_of
    from keras_bert.serving.double.batching import BatchingParameters
    from keras_bert.serving.double.limits import Limits

    args = vars(parser_of("serve").parse_args(["--model", "a=x"]))
    for settings in (BatchingParameters(), Limits()):
        assert vars(settings).items() <= args.items()


def test_a_damaged_version_does_not_start(directory, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"no protobuf")
    with pytest.raises(CheckpointError, match="version 1 of model 'm'"):
        Server({NAME: tmp_path})


def test_a_new_version_is_served_without_a_pause(directory, tmp_path):
    path = tmp_path / NAME
    path.mkdir()
    (path / "1").symlink_to(directory / "1")
    with Server({NAME: path}, file_system_poll_wait_seconds=0) as server:
        client = Client(server.url, NAME)
        before = client.predict(TEXTS)
        (path / "2").mkdir()
        (path / "2" / "saved_model.pb").write_bytes(b"broken")
        server.refresh()
        assert client.status() == {"2": "END", "1": "AVAILABLE"}
        [broken, _] = client.transport.request("")["model_version_status"]
        assert broken["status"]["error_code"] != "OK"
        assert client.predict(TEXTS) == before
        (path / "3").symlink_to(directory / "1")
        with ThreadPoolExecutor(2) as pool:
            refreshed = pool.submit(server.refresh)
            answers = []
            while not refreshed.done():
                answers.append(client.predict(TEXTS))
            refreshed.result()
        assert all(
            [row["label"] for row in answer] == [row["label"] for row in before]
            for answer in answers
        )
        assert client.status() == {"3": "AVAILABLE", "2": "END", "1": "END"}
        assert [row["label"] for row in client.predict(TEXTS)] == [
            row["label"] for row in before
        ]
