"""Many clients at once for a minute: no wrong answer, no lost one, no memory lost."""

import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from keras_bert import BertTokenizer
from keras_bert.serving import Client
from keras_bert.serving.client import RequestError
from keras_bert.serving.export import export
from keras_bert.serving.local_server.http_server import METRICS_PATH
from tests.bounds import assert_close
from tests.serving.cases import VOCAB, WORDS, make_model

NAME = "m"
CLIENTS = 64
SECONDS = float(os.environ.get("LOAD_SECONDS", 60))
MALFORMED = 0.05

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / NAME
    export(make_model("classes"), path, BertTokenizer(VOCAB))
    return path


@pytest.fixture(scope="module")
def expected(directory):
    """Texts of mixed lengths with the answers of the Keras model."""
    rng = np.random.default_rng(5)
    lengths = np.clip(rng.lognormal(np.log(9), 0.7, 300), 1, 60).astype(int)
    texts = [" ".join(rng.choice(WORDS, length)) for length in lengths]
    features = BertTokenizer(VOCAB)(texts, max_length=23)
    logits = np.asarray(make_model("classes")(features))
    return list(zip(texts, logits, strict=True))


class Served:
    """`keras-bert serve` in a process of its own."""

    def __init__(self, directory: Path, *options: str):
        command = ["serve", "--model", f"{NAME}={directory}", "--port", "0"]
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "keras_bert",
                *command,
                "--grpc-port",
                "0",
                *options,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        found = dict.fromkeys(("http://", "gRPC at "))
        while not all(found.values()):
            line = self.process.stdout.readline()
            assert line, "the server ended"
            for key in found:
                if match := re.search(rf"{key}([\d.]+:\d+)", line):
                    found[key] = match[1]
        self.rest, self.grpc = found.values()

    def megabytes(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def close(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


POST, PREDICT = "POST", f"/v1/models/{NAME}:predict"
# Path, body, status, part of the message.
WRONG = [
    (PREDICT, b'{"instances": ["a"', 400, "JSON Parse error"),
    (PREDICT, b"\xff\xfe", 400, "JSON Parse error"),
    (PREDICT, b'{"instances": [3]}', 400, "not of expected type: string"),
    (PREDICT, b'{"instance": ["a"]}', 400, "Missing 'inputs' or 'instances' key"),
    (
        PREDICT,
        b'{"signature_name": "serve_ids", "inputs": {"input_ids": [[99]], '
        b'"attention_mask": [[1]], "token_type_ids": [[0]]}}',
        400,
        "Expected input_ids from 0 to 36. Received: from] [99]",
    ),
    (f"/v1/models/{NAME}/versions/9:predict", b"{}", 404, "Servable not found"),
    (f"/v1/models/{NAME}:guess", b"{}", 400, "Malformed request: POST"),
]


class RestUser:
    """One connection, kept open."""

    def __init__(self, served: Served):
        self.connection = http.client.HTTPConnection(served.rest, timeout=60)

    def send(self, path, body):
        self.connection.request(POST, path, body)
        response = self.connection.getresponse()
        return response.status, json.load(response)

    def right(self, rows):
        body = json.dumps({"instances": [text for text, _ in rows]}).encode()
        status, answer = self.send(PREDICT, body)
        assert status == 200, answer
        return [row["logits"] for row in answer["predictions"]]

    def wrong(self, rng):
        path, body, status, message = rng.choice(WRONG)
        received, answer = self.send(path, body)
        assert (received, list(answer)) == (status, ["error"]), answer
        assert message in answer["error"]


class GrpcUser:
    """One channel."""

    def __init__(self, served: Served):
        self.client = Client(served.grpc, NAME, protocol="grpc", retries=0, timeout=60)

    def right(self, rows):
        answers = self.client.predict([text for text, _ in rows])
        return [row["logits"] for row in answers]

    def wrong(self, rng):
        asks, code = rng.choice(
            [
                (lambda: self.client.predict(["a"], signature_name="nope"), "FAILED"),
                (lambda: self.client.predict(["a"], ["b"], signature_name="x"), "FAI"),
                (lambda: self.client.predict_ids({"input_ids": [[1]]}), "INVALID"),
            ]
        )
        with pytest.raises(RequestError) as caught:
            asks()
        assert caught.value.code.startswith(code)


class Load:
    """Clients that ask until the time is up, and what they saw.

    Args:
        served: the server.
        expected: texts and the right logits.
        seconds: how long.
    """

    def __init__(self, served: Served, expected: list, seconds: float):
        self.failures: list[BaseException] = []
        self.memory: list[tuple[float, float]] = []  # seconds, megabytes
        self._expected, self._start, self._seconds = expected, time.monotonic(), seconds
        counts: list[Counter] = [Counter() for _ in range(CLIENTS)]
        threads = [
            threading.Thread(
                target=self._use, args=((RestUser, GrpcUser)[i % 2](served), i, count)
            )
            for i, count in enumerate(counts)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self.memory.append((self._now(), served.megabytes()))
            time.sleep(1)
        self.total = sum(counts, Counter())
        self.least = min(count["answered"] for count in counts)

    def megabytes_at(self, second: float) -> float:
        """Memory of the server after so many seconds."""
        return next(size for when, size in self.memory if when >= second)

    def _now(self) -> float:
        return time.monotonic() - self._start

    def _use(self, user, seed: int, counts: Counter) -> None:
        rng = random.Random(seed)
        try:
            while self._now() < self._seconds:
                if rng.random() < MALFORMED:
                    user.wrong(rng)
                    counts["refused"] += 1
                else:
                    self._ask(user, rng)
                    counts["answered"] += 1
        except BaseException as error:
            self.failures.append(error)

    def _ask(self, user, rng: random.Random) -> None:
        rows = rng.choices(self._expected, k=rng.choice([1, 1, 1, 2, 5]))
        right = np.stack([logits for _, logits in rows])
        assert_close(user.right(rows), right)


@pytest.fixture(params=[[], ["--no-batching"]], ids=["batches", "alone"])
def served(request, directory):
    if not Path("/proc/self/status").exists():
        pytest.skip("memory of another process is read from /proc")
    server = Served(directory, *request.param)
    yield server
    server.process.kill()
    server.process.wait()
    server.process.stdout.close()


def test_a_minute_of_many_clients(served, expected):
    load = Load(served, expected, SECONDS)
    settled, last = load.megabytes_at(SECONDS / 4), load.memory[-1][1]
    print(
        f"\n{load.total['answered'] / SECONDS:.0f} answers/s, {load.total['refused']} "
        f"refused, {settled:.0f} MB after {SECONDS / 4:.0f} s, {last:.0f} MB at the end"
    )
    assert not load.failures, load.failures[0]
    assert load.least > 0
    assert load.total["refused"] > 0
    assert last < settled * 1.05
    with urllib.request.urlopen(
        f"http://{served.rest}{METRICS_PATH}", timeout=30
    ) as page:
        metrics = page.read().decode()
    assert f'request_count{{model_name="{NAME}",status="OK"}}' in metrics
    assert 'status="INTERNAL"' not in metrics
    assert served.close() == 0
