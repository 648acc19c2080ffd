"""Measures the local server under many clients: rate, latency, CPU time.

The server runs in a separate process, the clients in this one, each with an open
connection and one text per request, of lognormal length around 40 tokens, which
`serving_default` tokenizes. Weights are random. Settings take turns, and the median
round is reported. On a machine shared with other work only the server's CPU time per
request is meaningful; it is measured on Linux only.

    python benchmarks/serving_load.py
    python benchmarks/serving_load.py --size tiny --clients 16 --protocol grpc
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import http.client
import itertools
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mixed_lengths import LONGEST, SIZES, VOCAB_SIZE, config_fields, lengths

SETTINGS = {
    "each alone": ["--no-batching"],
    "batches, no wait": ["--batch-timeout-micros", "0"],
    "batches, 1 ms": ["--batch-timeout-micros", "1000"],
    "batches, 5 ms": ["--batch-timeout-micros", "5000"],
}


def export_model(size: str, directory: Path) -> list[str]:
    """Exports a classifier and returns texts for it."""
    from keras_bert import BertConfig, BertForSequenceClassification, BertTokenizer
    from keras_bert.serving.export import export

    config = BertConfig(**config_fields(size), num_labels=2)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [f"w{i}" for i in range(VOCAB_SIZE - len(special))]
    model = BertForSequenceClassification(config, seed=1)
    export(model, directory, BertTokenizer(special + words), max_length=LONGEST)
    rng = np.random.default_rng(2)
    return [" ".join(rng.choice(words, count)) for count in lengths(512)]


class Served:
    """`keras-bert serve` with some settings."""

    def __init__(self, directory: Path, options: list[str]):
        command = [sys.executable, "-m", "keras_bert", "serve"]
        ports = ["--port", "0", "--grpc-port", "0", "--model", f"m={directory}"]
        self._process = subprocess.Popen(
            [*command, *ports, *options], stdout=subprocess.PIPE, text=True
        )
        lines = iter(self._process.stdout.readline, "")
        said = "".join(next(lines) for _ in range(3))
        self.rest, self.grpc = re.findall(r"[\d.]+:\d+", said)

    def cpu_seconds(self) -> float:
        """Returns the CPU time of all its threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """Stops the server."""
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()


def over_rest(address: str) -> Callable[[str], object]:
    """Returns a function that sends requests over one connection."""
    connection = http.client.HTTPConnection(address, timeout=60)

    def ask(text: str) -> object:
        body = json.dumps({"instances": [text]})
        connection.request("POST", "/v1/models/m:predict", body)
        return json.load(connection.getresponse())["predictions"]

    return ask


def over_grpc(address: str) -> Callable[[str], object]:
    """Returns a function that sends requests over one channel."""
    from keras_bert.serving import Client

    client = Client(address, "m", protocol="grpc")
    return lambda text: client.predict([text])


def measure(ask_on: Callable, address: str, texts: list[str], args) -> list[float]:
    """Returns the latencies of all requests within `args.seconds`, in seconds."""
    end = time.monotonic() + args.seconds
    taken: list[float] = []

    def use(first: int) -> None:
        ask = ask_on(address)
        for text in itertools.islice(itertools.cycle(texts), first, None):
            start = time.monotonic()
            if start > end:
                return
            ask(text)
            taken.append(time.monotonic() - start)

    threads = [threading.Thread(target=use, args=[i]) for i in range(args.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="mini")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--protocol", choices=("rest", "grpc"), default="rest")
    args = parser.parse_args()
    ask_on = {"rest": over_rest, "grpc": over_grpc}[args.protocol]
    found: dict[str, list] = {name: [] for name in SETTINGS}
    with tempfile.TemporaryDirectory() as folder:
        texts = export_model(args.size, Path(folder, "m"))
        for _ in range(args.rounds):
            for name, options in SETTINGS.items():
                served = Served(Path(folder, "m"), options)
                address = getattr(served, args.protocol)
                over_rest(served.rest)(texts[0])  # the first one allocates
                before = served.cpu_seconds()
                taken = measure(ask_on, address, texts, args)
                cpu = 1000 * (served.cpu_seconds() - before) / len(taken)
                served.close()
                percentiles = 1000 * np.percentile(taken, [50, 99])
                found[name].append((len(taken) / args.seconds, cpu, *percentiles))
    print(
        f"{args.size}, {args.clients} clients, {args.protocol}; load {os.getloadavg()}"
    )
    for name, rounds in found.items():
        rate, cpu, middle, late = map(statistics.median, zip(*rounds, strict=True))
        print(
            f"{name:18} {rate:7.1f} requests/s, {cpu:5.2f} ms of CPU each, "
            f"p50 {middle:.0f} ms, p99 {late:.0f} ms"
        )


if __name__ == "__main__":
    main()
