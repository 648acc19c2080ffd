"""`extract_features.py`: hidden states of text, one JSON object per line."""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_bert.cli.google import flags
from keras_bert.cli.google.models import load, load_tokenizer, read_config
from keras_bert.cli.google.rows import encode_rows
from keras_bert.errors import ConfigError, InputError, MissingFileError
from keras_bert.training.checks import check_vocabulary

KIND = "encoder"
FLAGS: flags.Flags = {
    "input_file": (None, "one text per line, or two: text ||| text"),
    "output_file": (None, "JSON lines"),
    "layers": ([-1, -2, -3, -4], "layers: 0 is the first, -1 the last"),
    **flags.MODEL,
    "max_seq_length": (128, "tokens per row"),
    **flags.CASE,
    "batch_size": (32, "rows per batch"),
    "use_one_hot_embeddings": (False, "without effect"),
    **flags.SEED,
    "use_tpu": flags.ELSEWHERE["use_tpu"],
    "master": flags.ELSEWHERE["master"],
    "num_tpu_cores": flags.WITHOUT_EFFECT["num_tpu_cores"],
}
REQUIRED = (
    *("input_file", "vocab_file", "bert_config_file"),
    *("init_checkpoint", "output_file"),
)
_PAIR = re.compile(r"(.*) \|\|\| (.*)")


def run(args: argparse.Namespace) -> None:
    """Writes the states of all lines, whole or not at all."""
    from keras_bert.atomic_files import new_file

    flags.check_devices(args)
    config = read_config(args.bert_config_file)
    layers = _checked_layers(args.layers, len(config.block_numbers))
    tokenizer = load_tokenizer(args, config)
    texts = list(_texts(Path(args.input_file)))
    if not texts:
        raise InputError(
            f"Expected lines of text in {args.input_file}. Received: none."
        )
    model, _ = load(args, KIND, args.init_checkpoint, add_pooling_layer=False)
    check_vocabulary(tokenizer, model)
    with (
        new_file(args.output_file, overwrite=True) as partial,
        partial.open("w", encoding="utf-8") as file,
    ):
        file.writelines(
            json.dumps(x) + "\n" for x in _states(args, model, tokenizer, texts, layers)
        )
    print(f"Wrote {args.output_file}")


def _checked_layers(layers: list[int], depth: int) -> list[int]:
    outside = [layer for layer in layers if not -depth <= layer < depth]
    if outside:
        raise ConfigError(
            f"Expected layers from {-depth} to {depth - 1}. Received: {outside[0]}."
        )
    return layers


def _texts(path: Path) -> Iterator[tuple[str, str | None]]:
    from keras_bert.tasks.text_lines import text_lines

    if not path.is_file():
        raise MissingFileError(f"Expected a file at {path}; none is there.")
    with path.open("rb") as file:
        for line in text_lines(file, "utf-8", "\n", name=str(path)):
            pair = _PAIR.fullmatch(line.strip())
            yield (pair[1], pair[2]) if pair else (line.strip(), None)


def _states(
    args: argparse.Namespace,
    model: Any,
    tokenizer: Any,
    texts: Sequence[tuple[str, str | None]],
    layers: Sequence[int],
) -> Iterator[dict[str, Any]]:
    from keras_bert.analysis.feature_extraction import hidden_states, token_features

    # Those of the model begin with the embeddings, which Google's do not have.
    indices = [layer + 1 if layer >= 0 else layer for layer in layers]
    for start in range(0, len(texts), args.batch_size):
        some = texts[start : start + args.batch_size]
        batch = encode_rows(tokenizer, some, args.max_seq_length)
        states = hidden_states(model, batch, indices)
        lengths = batch["attention_mask"].sum(1)
        for row, length in enumerate(lengths):
            ids = batch["input_ids"][row, :length]
            tokens = tokenizer.convert_ids_to_tokens(ids)
            found = token_features(tokens, states[:, row], layers)
            yield {"linex_index": start + row, "features": found}
