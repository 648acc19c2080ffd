"""Measures `converters/tf_to_pt.py` as a whole process on a full-sized BERT.

Writes a random Google checkpoint into a temporary directory, runs the converter on it,
and prints CPU seconds and peak memory, including imports and verification.

    python benchmarks/convert_bert_base.py            # base: 440 MB
    python benchmarks/convert_bert_base.py --size large --format bin
    python benchmarks/convert_bert_base.py --peer …/bin/python    # and transformers 4
"""

import argparse
import json
import platform
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_bert import axes, families
from keras_bert.checkpoints.checkpoint import Tensor
from keras_bert.checkpoints.conversion import save
from keras_bert.families.bert import BertConfig
from keras_bert.families.rows import expand

ROOT = Path(__file__).resolve().parents[1]
SIZES = {
    "base": BertConfig(hidden_act="gelu_new"),
    "large": BertConfig(
        hidden_act="gelu_new",
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
    ),
}
HEAD = "BertForPreTraining"


def random_tensors(config: BertConfig, seed: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Draws every tensor of a Google checkpoint when it is read.

    Args:
        config: gives the sizes.
        seed: for the values.

    Yields:
        Names and tensors.
    """
    family = families.of(config)
    sizes = family.sizes(config)
    for part in family.parts_of(HEAD):
        for row in expand(family.parts[part], config.num_hidden_layers):
            name, layout = row.placements["google"]
            seed += 1
            yield name, _drawn(axes.shape(layout, sizes), seed)


def _drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    def load() -> np.ndarray:
        rng = np.random.default_rng(seed)
        return 0.02 * rng.standard_normal(shape, dtype="float32")

    return Tensor(shape, np.dtype("float32"), load)


# The converter of transformers 4, which version 5 does not have.
PEER = textwrap.dedent(
    """
    import sys
    from transformers import BertConfig, BertForPreTraining
    from transformers.models.bert.modeling_bert import load_tf_weights_in_bert
    folder = sys.argv[1]
    config = BertConfig.from_json_file(f"{folder}/bert_config.json")
    model = BertForPreTraining(config)
    load_tf_weights_in_bert(model, config, f"{folder}/bert_model.ckpt")
    model.save_pretrained(f"{folder}/peer")
    """
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument(
        "--format", choices=("safetensors", "bin"), default="safetensors"
    )
    parser.add_argument(
        "--runs", type=int, default=3, help="the one with the least CPU time is printed"
    )
    parser.add_argument(
        "--peer",
        metavar="PYTHON",
        help="Python with transformers 4, torch and tensorflow: also measures its "
        "converter",
    )
    return parser


def main() -> None:
    """Makes the checkpoint, converts it, prints one line of JSON for each process."""
    from processes import least, measure

    args = _parser().parse_args()
    script = str(ROOT / "converters" / "tf_to_pt.py")
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    what = f"tf_to_pt.py, {args.size}, {args.format}"
    with tempfile.TemporaryDirectory() as folder:
        source, config = Path(folder), SIZES[args.size]
        save(source, "google", config, HEAD, dict(random_tensors(config)))
        options = ["--format", args.format, "--overwrite"]
        best = least([sys.executable, script, folder, *options], args.runs)
        print(json.dumps({"what": what, **best, **versions}))
        if args.peer:
            peer = measure([args.peer, "-c", PEER, folder])
            print(json.dumps({"what": f"transformers 4, {args.size}", **peer}))


if __name__ == "__main__":
    main()
