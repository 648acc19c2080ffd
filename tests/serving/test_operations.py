"""Running the local server: metrics, health, limits, and an orderly end."""

import http.client
import json
import os
import re
import signal
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from keras_bert.cli import main, parser_of
from keras_bert.errors import CheckpointError
from keras_bert.serving import Client
from keras_bert.serving.client import RequestError
from keras_bert.serving.local_server import rest
from keras_bert.serving.local_server.errors import ServingError
from keras_bert.serving.local_server.metrics import Metrics
from keras_bert.serving.local_server.settings import BatchingParameters, Limits
from keras_bert.serving.server import Server
from tests.serving.cases import TEXTS

NAME = "m"


def get(url):
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read().decode(), response.headers["Content-Type"]


# === Metrics and health ===

SAMPLE = re.compile(r'[a-zA-Z_:][\w:]*(\{(\w+="[^"]*",?)*\})? \d+(\.\d+)?(e\+?\d+)?')


def samples(page):
    """Values by name and labels; every line has Prometheus' form."""
    found = {}
    for line in page.splitlines():
        if line.startswith("#"):
            assert re.fullmatch(r"# (HELP .+|TYPE [\w:]+ (gauge|histogram))", line)
            continue
        assert SAMPLE.fullmatch(line), line
        name, value = line.rsplit(" ", 1)
        assert name not in found
        found[name] = float(value)
    return found


def test_metrics_count_what_was_answered(directory):
    with Server({NAME: directory}, grpc_port=0) as server:
        client = Client(server.url, NAME)
        for _ in range(3):
            client.predict(TEXTS)
        body = {"signature_name": "serve_examples", "examples": [{"text": "a"}] * 7}
        client.transport.request(":classify", body)
        with pytest.raises(RequestError):
            client.predict(["a"], signature_name="nope")
        with pytest.raises(RequestError):
            Client(server.url, "made-up").predict(["a"])
        Client(server.grpc_address, NAME, protocol="grpc").predict(["a"])
        page, kind = get(f"{server.url}/monitoring/prometheus/metrics")
    assert kind.startswith("text/plain; version=")
    found = samples(page)
    tfs = ":tensorflow:serving"
    count = f'{tfs}:request_count{{model_name="m",status='
    assert found[count + '"OK"}'] == 5
    assert found[count + '"INVALID_ARGUMENT"}'] == 1
    # Names that clients make up are not kept.
    assert found[f'{tfs}:request_count{{model_name="",status="NOT_FOUND"}}'] == 1
    assert "made-up" not in page
    labels = '{API="predict",entrypoint="REST",model_name="m"}'
    assert found[f"{tfs}:request_latency_count{labels}"] == 3
    assert found[f'{tfs}:request_example_count_total{{model="m"}}'] == 7
    assert found[f"{tfs}:batching_session:wrapped_run_count"] >= 4
    rows = found[f"{tfs}:batching_session:processed_batch_size_sum"]
    assert rows == 3 * len(TEXTS) + 7 + 1


def test_failures_are_counted_and_not_timed():
    metrics = Metrics()
    with pytest.raises(ServingError, match="ZeroDivisionError in the server"):
        with metrics.observed("m", "Predict", "REST"):
            raise ZeroDivisionError("/a/secret/path")
    found = samples(metrics.page().decode())
    count = ':tensorflow:serving:request_count{model_name="m",status="INTERNAL"}'
    assert found[count] == 1
    assert not any("request_latency_count" in name for name in found)


def test_health(directory):
    with Server({NAME: directory}) as server:
        assert json.loads(get(f"{server.url}/healthz")[0]) == {"status": "SERVING"}


# === An orderly end ===


@pytest.fixture
def slow(monkeypatch):
    """Makes a metadata request wait; tells when it has begun."""
    begun, go = threading.Event(), threading.Event()
    signatures_of = rest.signatures_of

    def wait(model):
        begun.set()
        assert go.wait(30)
        return signatures_of(model)

    monkeypatch.setattr(rest, "signatures_of", wait)
    yield begun, go
    go.set()


STOPPING = {"error": "The server is shutting down."}


def refusal_at_the_end(url):
    """The status and the body of the first answer after the end has begun."""
    while True:
        try:
            get(f"{url}/healthz")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


def test_requests_in_hand_are_answered_and_new_ones_refused(directory, slow):
    begun, go = slow
    server = Server({NAME: directory}, grpc_port=0).start()
    host = server.url.removeprefix("http://")
    kept = http.client.HTTPConnection(host, timeout=30)
    kept.request("GET", f"/v1/models/{NAME}")
    assert kept.getresponse().read()
    with ThreadPoolExecutor(2) as pool:
        in_hand = pool.submit(Client(server.url, NAME).metadata)
        assert begun.wait(30)
        closing = pool.submit(server.close)
        assert refusal_at_the_end(server.url) == (503, STOPPING)
        body = json.dumps({"instances": TEXTS})
        kept.request("POST", f"/v1/models/{NAME}:predict", body)
        response = kept.getresponse()
        assert (response.status, response.headers["Connection"]) == (503, "close")
        assert json.load(response) == STOPPING
        grpc_client = Client(server.grpc_address, NAME, protocol="grpc", retries=0)
        with pytest.raises(RequestError) as caught:
            grpc_client.predict(TEXTS)
        assert caught.value.code == "UNAVAILABLE"
        assert not closing.done()
        go.set()
        assert "serve_ids" in in_hand.result()
        closing.result(30)
    with pytest.raises(RequestError):
        Client(server.url, NAME, retries=0).status()


def test_a_connection_kept_open_ends_with_the_server(directory):
    server = Server({NAME: directory}).start()
    connection = http.client.HTTPConnection(
        server.url.removeprefix("http://"), timeout=30
    )
    connection.request("GET", f"/v1/models/{NAME}")
    assert connection.getresponse().read()
    server.close()
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        connection.request("GET", f"/v1/models/{NAME}")
        connection.getresponse()
    connection.close()


def test_the_grace_is_bounded(directory, slow):
    begun, go = slow
    server = Server({NAME: directory}).start()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(Client(server.url, NAME, retries=0).metadata)
        assert begun.wait(30)
        server.close(grace=0.01)  # returns although a request is in hand
        go.set()
        assert asking.exception(30).status == 503


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
    limits = ["--max-rows", "9", "--max-request-seconds", "2.5"]
    others = ["--file-system-poll-wait-seconds", "0", "--allow-reload"]
    assert main([*base, *options, *batching, *limits, *others]) == 0
    [(args, settings)] = made
    assert args[0] == {"a": "x", "b": "y"}
    assert settings["labels"] == {"a": {"stable": 1}, "b": {"stable": 1, "canary": 2}}
    assert settings["versions"] == "all"
    assert settings["batching"].max_batch_size == 7
    assert settings["batching"].num_batch_threads == 3
    assert settings["limits"] == Limits(max_rows=9, max_request_seconds=2.5)
    assert settings["allow_reload"] is True
    assert settings["file_system_poll_wait_seconds"] == 0
    assert settings["grpc_port"] is None
    assert main([*base, "--no-batching"]) == 0
    assert made[1][1]["batching"] is None


@pytest.mark.parametrize("label", ["stable", "stable=x", "c:stable=1", "=1"])
def test_the_command_explains_labels(label, capsys):
    assert main(["serve", "--model", "a=x", "--label", label]) == 2
    assert "LABEL=VERSION" in capsys.readouterr().err


def test_every_setting_has_a_flag():
    args = vars(parser_of("serve").parse_args(["--model", "a=x"]))
    for settings in (BatchingParameters(), Limits()):
        assert vars(settings).items() <= args.items()
    assert args["allow_reload"] is False


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
        assert broken["status"]["error_message"].startswith("Version 2 of model m ")
        assert str(tmp_path) not in broken["status"]["error_message"]
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
