"""`keras-bert serve`: a local server with TF Serving's APIs, for development."""

import argparse
import logging
import re
import signal
import threading
from collections.abc import Iterable

from keras_bert.cli.parsing import port
from keras_bert.errors import InputError
from keras_bert.serving.local_server.settings import BatchingParameters, Limits

BATCHING_HELP = {
    "max_batch_size": "largest batch, in rows",
    "batch_timeout_micros": "longest wait of a request for others, in microseconds",
    "max_enqueued_batches": "batches in the queue before requests are refused",
    "num_batch_threads": "batches computed in parallel; 0: one per CPU",
}
LIMITS_HELP = {
    "max_request_bytes": "size of an HTTP body or a gRPC message",
    "max_request_seconds": "time to receive an HTTP request",
    "max_rows": "rows per request",
    "max_text_bytes": "size of one text",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.description = (
        "Serve exported models over TF Serving's REST and gRPC APIs, for development. "
        "This is not TF Serving: it is one Python process without authentication, "
        "encryption or a memory limit."
    )
    parser.add_argument(
        "--model",
        required=True,
        action="append",
        metavar="NAME=DIR",
        help="name of a model, and its directory from `keras-bert export`; repeatable",
    )
    parser.add_argument(
        "--port", type=port, default=8501, help="port of REST; 0: any free port"
    )
    parser.add_argument(
        "--grpc-port", type=port, default=8500, help="port of gRPC; 0: any free port"
    )
    parser.add_argument("--no-grpc", action="store_true", help="serve REST only")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--versions",
        default="latest",
        metavar="latest|latest:N|all|1,4",
        help="versions to serve",
    )
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="[NAME:]LABEL=VERSION",
        help="label of a version, of all models or of one; repeatable",
    )
    parser.add_argument(
        "--file-system-poll-wait-seconds",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="interval of checks for new and deleted versions; 0: only at the start",
    )
    parser.add_argument(
        "--allow-reload",
        action="store_true",
        help="let gRPC clients select which of these models and versions are served",
    )
    batching = parser.add_argument_group("batching of concurrent requests")
    batching.add_argument(
        "--no-batching", action="store_true", help="compute each request separately"
    )
    _add_settings(batching, BatchingParameters(), BATCHING_HELP)
    limits = parser.add_argument_group("limits of a request")
    _add_settings(limits, Limits(), LIMITS_HELP)


def _add_settings(group, defaults: object, helps: dict[str, str]) -> None:
    for name, default in vars(defaults).items():
        flag, kind = f"--{name.replace('_', '-')}", type(default)
        group.add_argument(
            flag, type=kind, default=default, metavar="N", help=helps[name]
        )


def run(args: argparse.Namespace) -> None:
    """Serves until Ctrl-C or SIGTERM."""
    model_dirs = dict(_name_and_directory(text) for text in args.model)
    labels = _labels(args.label, model_dirs)
    from keras_bert.serving.server import Server

    logging.getLogger("keras_bert.serving.local_server").setLevel(logging.INFO)
    logging.basicConfig(format="%(message)s")
    with Server(
        model_dirs,
        args.port,
        args.host,
        grpc_port=None if args.no_grpc else args.grpc_port,
        versions=args.versions,
        labels=labels,
        batching=None if args.no_batching else _settings(BatchingParameters, args),
        limits=_settings(Limits, args),
        file_system_poll_wait_seconds=args.file_system_poll_wait_seconds,
        allow_reload=args.allow_reload,
    ) as server:
        print("A local server for development, not TF Serving.")
        for name in model_dirs:
            print(f"Serving {server.url}/v1/models/{name}", flush=True)
        if server.grpc_address:
            print(f"Serving gRPC at {server.grpc_address}", flush=True)
        _wait_until_stopped(server)


def _wait_until_stopped(server) -> None:
    """Shuts down cleanly on SIGTERM, from `docker stop` or a service manager."""
    if threading.current_thread() is not threading.main_thread():
        return server.wait()  # only the main thread may handle signals
    before = signal.signal(signal.SIGTERM, lambda *_: server.stop())
    try:
        server.wait()
    finally:
        signal.signal(signal.SIGTERM, before)


def _settings(kind: type, args: argparse.Namespace):
    """Makes a settings object from the arguments with the names of its fields."""
    return kind(**{name: getattr(args, name) for name in kind.__dataclass_fields__})


def _name_and_directory(text: str) -> tuple[str, str]:
    name, separator, directory = text.partition("=")
    if not (name and separator and directory):
        raise InputError(
            "Expected --model NAME=DIR, as in --model bert=saved_models/bert. "
            f"Received: {text!r}."
        )
    return name, directory


def _labels(texts: Iterable[str], models: Iterable[str]) -> dict[str, dict[str, int]]:
    labels: dict[str, dict[str, int]] = {model: {} for model in models}
    for text in texts:
        match = re.fullmatch(r"(?:([^:=]+):)?([^:=]+)=([0-9]{1,18})", text)
        if not match or match[1] not in (None, *labels):
            raise InputError(
                "Expected --label LABEL=VERSION or --label NAME:LABEL=VERSION with the "
                f"name of a model, as in --label stable=1. Received: {text!r}."
            )
        for model in [match[1]] if match[1] else labels:
            labels[model][match[2]] = int(match[3])
    return labels
