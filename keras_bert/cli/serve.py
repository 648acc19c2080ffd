"""`keras-bert serve`: TF Serving's REST API on this machine, for development."""

import argparse

from keras_bert.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "--model",
        required=True,
        action="append",
        metavar="NAME=DIR",
        help="a name and the directory `keras-bert export` wrote to; repeatable",
    )
    parser.add_argument("--port", type=int, default=8501, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--all-versions",
        action="store_true",
        help="load every version instead of the highest",
    )


def run(args: argparse.Namespace) -> None:
    """Serves until Ctrl-C."""
    model_dirs = dict(_name_and_directory(text) for text in args.model)
    from keras_bert.serving.server import Server

    with Server(
        model_dirs, args.port, args.host, all_versions=args.all_versions
    ) as server:
        print("A double of TF Serving for development, not TF Serving.")
        for name in model_dirs:
            print(f"Serving {server.url}/v1/models/{name}", flush=True)
        server.wait()


def _name_and_directory(text: str) -> tuple[str, str]:
    name, separator, directory = text.partition("=")
    if not (name and separator and directory):
        raise InputError(
            "Expected --model NAME=DIR, as in --model bert=saved_models/bert. "
            f"Received: {text!r}."
        )
    return name, directory
