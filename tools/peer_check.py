"""Checks that other libraries open converted checkpoints, each in its environment.

For every library it creates a virtual environment (or reuses an existing one), writes
random checkpoints of every head, and runs a script of `tools/peers/` there, which loads
them without this package and compares the library's outputs with the NumPy reference.

    python tools/peer_check.py --google-code ~/src/bert  # all: gigabytes, minutes
    python tools/peer_check.py transformers-4.57 --environments ~/peers
    python tools/peer_check.py google --google-code ~/src/bert
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_bert import axes, families
from keras_bert.checkpoints import convert, formats, reference
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.checkpoints.conversion import save
from keras_bert.errors import MissingFileError
from keras_bert.families.bert import BertConfig
from keras_bert.families.rows import expand

SCRIPTS = Path(__file__).parent / "peers"
TOLERANCE = 5e-6
GOOGLE_COMMIT = "eedf5716ce1268e56f0a50264a88cafad334ac61"
TENSORFLOW = ("tf-models-official==2.20.0", "setuptools<81")
# Model classes that a peer has; its script knows their names there.
ALL = tuple(families.of("bert").models)
GOOGLES = (
    "BertModel",
    "BertForPreTraining",
    "BertForSequenceClassification",
    "BertForQuestionAnswering",
)
MODEL_GARDENS = (*GOOGLES, "BertForTokenClassification")


class Peer(NamedTuple):
    """A library, and what it has to load.

    Attributes:
        environment: name of its virtual environment, which peers may share.
        requirements: packages to install there.
        script: of `tools/peers/`.
        format: of the checkpoints.
        heads: model classes.
        variants: options of `convert`, by name.
    """

    environment: str
    requirements: tuple[str, ...]
    script: str
    format: str
    heads: tuple[str, ...]
    variants: dict[str, dict]


HUGGING_FACE = {
    "safetensors": {},
    "sharded": {"max_shard_size": 5_000},
    "bin": {"file_format": "bin"},
}
ONE_AND_MANY = {"one file": {}, "shards": {"max_shard_size": 5_000}}
PEERS = {
    "transformers-4.57": Peer(
        "transformers-4.57",
        ("transformers==4.57.6", "torch"),
        "transformers_open.py",
        "huggingface",
        ALL,
        HUGGING_FACE,
    ),
    "google": Peer(
        "tensorflow-2.20",
        TENSORFLOW,
        "google_restore.py",
        "google",
        GOOGLES,
        ONE_AND_MANY,
    ),
    "model_garden": Peer(
        "tensorflow-2.20",
        TENSORFLOW,
        "model_garden_restore.py",
        "model_garden",
        MODEL_GARDENS,
        ONE_AND_MANY,
    ),
}

# === Checkpoints ===


def write_cases(peer: Peer, folder: Path) -> None:
    """Writes a checkpoint, inputs and expected outputs for every head and variant."""
    config = BertConfig(
        vocab_size=37,
        hidden_size=15,
        num_attention_heads=3,
        num_hidden_layers=2,
        intermediate_size=22,
        max_position_embeddings=11,
        hidden_act="gelu_new",
        num_labels=7,
    )
    for head in peer.heads:
        source = folder / "sources" / head
        source.mkdir(parents=True)
        save(source, "keras", config, head, _random(config, head))
        for name, options in peer.variants.items():
            case = folder / "cases" / f"{head}, {name}"
            case.parent.mkdir(exist_ok=True)
            convert(source, case, peer.format, **options)
            _write_expected(case, head)


def _random(config: BertConfig, head: str) -> dict[str, Tensor]:
    family, rng = families.of(config), np.random.default_rng(0)
    sizes = family.sizes(config)
    slots = [
        row.placements["keras"]
        for part in family.parts_of(head)
        for row in expand(family.parts[part], config.num_hidden_layers)
    ]
    return {
        slot.name: Tensor.of(
            rng.normal(scale=0.2, size=axes.shape(slot.axes, sizes)).astype("float32")
        )
        for slot in slots
    }


def _write_expected(case: Path, head: str) -> None:
    opened = formats.read(case)
    inputs = reference.probe(opened.config)
    del inputs["position_ids"]  # not every library takes them
    expected = reference.outputs(opened, head, inputs)
    np.savez(case / "inputs.npz", **inputs)
    np.savez(case / "expected.npz", **expected)
    (case / "head").write_text(head)


# === Environments ===


def environment(peer: Peer, folder: Path) -> Path:
    """Returns the Python of a peer's environment, and creates it if necessary."""
    place = folder / peer.environment
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        print(f"Installing {', '.join(peer.requirements)} into {place} …", flush=True)
        venv.create(place, with_pip=True)
        command = [python, "-m", "pip", "install", "-q", *peer.requirements]
        subprocess.run(command, check=True)
    return python


def google_code(given: str | None) -> Path:
    """Returns the directory of Google's modules, a checkout of google-research/bert.

    Raises:
        MissingFileError: none was given, or it is not one.
    """
    place = Path(given or "").expanduser()
    if not given or not (place / "modeling.py").is_file():
        raise MissingFileError(
            "Expected a checkout of google-research/bert, at "
            f"{GOOGLE_COMMIT[:7]}, with --google-code. Received: {given}."
        )
    return place


# === The check ===


def check(name: str, environments: Path, code: str | None) -> list[dict]:
    """Runs one peer on its checkpoints and returns its result for each."""
    peer = PEERS[name]
    python = environment(peer, environments)
    arguments = [google_code(code)] if name == "google" else []
    with tempfile.TemporaryDirectory() as folder:
        write_cases(peer, Path(folder))
        command = [python, SCRIPTS / peer.script, Path(folder) / "cases", *arguments]
        settings = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(
            command, env=os.environ | settings, capture_output=True, text=True
        )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return [{"peer": name, **json.loads(line)} for line in lines]


def table(results: Iterable[dict]) -> str:
    """Returns the results as a Markdown table."""
    rows = [
        "| opened by | what | keys missing | unexpected | largest difference |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        cells = (
            result["version"],
            result["case"],
            ", ".join(result["missing"]) or "none",
            ", ".join(result["unexpected"]) or "none",
            f"{result['difference']:.1e}",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def failed(result: dict) -> bool:
    """Whether a peer found other keys, or computed other outputs."""
    wrong = result["missing"] or result["unexpected"]
    return bool(wrong) or not result["difference"] <= TOLERANCE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("peers", nargs="*", help=f"{', '.join(PEERS)}; by default all")
    parser.add_argument(
        "--environments",
        default=str(Path.home() / ".cache" / "keras_bert" / "peers"),
        help="directory of the virtual environments, which are kept",
    )
    parser.add_argument("--google-code", help="a checkout of google-research/bert")
    return parser


def main() -> int:
    """Checks the peers and prints the table; 1 if one of them differs."""
    args = _parser().parse_args()
    unknown = set(args.peers) - set(PEERS)
    if unknown:
        print(f"Unknown: {', '.join(unknown)}. Choose from {', '.join(PEERS)}.")
        return 2
    names = args.peers or list(PEERS)
    try:
        if "google" in names:
            google_code(args.google_code)  # before the others take minutes
    except MissingFileError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    places = Path(args.environments).expanduser().absolute(), args.google_code
    results = [result for name in names for result in check(name, *places)]
    print(table(results))
    return int(not results or any(map(failed, results)))


if __name__ == "__main__":
    sys.exit(main())
