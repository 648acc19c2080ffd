"""What the commands on vectors of texts share: their arguments, and loading."""

import argparse
from collections.abc import Iterable
from typing import Any

from keras_bert.cli.models import (
    add_dtype_argument,
    add_model_arguments,
    load_tokenizer,
)
from keras_bert.cli.parsing import positive
from keras_bert.tasks import Example


def add_embedding_arguments(
    parser: argparse.ArgumentParser, *, required: bool = True
) -> None:
    """Adds the arguments that say how vectors are made."""
    add_model_arguments(parser, heads=False, required=required)
    add_dtype_argument(parser)
    group = parser.add_argument_group("vectors")
    group.add_argument(
        "--pooling",
        metavar="NAME",
        help="mean, max, cls, pooler, mean_sqrt_len_tokens, weightedmean or lasttoken, "
        "several joined as cls+mean; by default as the folder of sentence-transformers "
        "says, or else the mean, scaled to length 1",
    )
    group.add_argument(
        "--normalize", action="store_true", help="scale the vectors to length 1"
    )
    group.add_argument(
        "--truncate-dim",
        type=positive,
        metavar="N",
        help="keep the first N numbers of each vector",
    )
    prompts = group.add_mutually_exclusive_group()
    prompts.add_argument("--prompt", metavar="TEXT", help="put before every text")
    prompts.add_argument(
        "--prompt-name", metavar="NAME", help="the prompt of the model with this name"
    )


def encoding_options(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the options of `SentenceEmbedding.encode` that were given."""
    names = ("normalize", "truncate_dim", "prompt", "prompt_name", "batch_size")
    given = {name: getattr(args, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def load_embedder(args: argparse.Namespace) -> Any:
    """Returns the `SentenceEmbedding` of the arguments."""
    from keras_bert.checkpoints import formats
    from keras_bert.loading import local_path
    from keras_bert.sentence_recipe import SentenceRecipe
    from keras_bert.tasks import SentenceEmbedding

    recipe = SentenceRecipe.of(args.pooling) if args.pooling else None
    checkpoint = formats.read(local_path(args.model))
    return SentenceEmbedding(
        checkpoint,
        load_tokenizer(args, checkpoint.config),
        recipe=recipe,
        max_length=args.max_length,
        dtype=args.dtype,
    )


class Answerer:
    """Answers texts with vectors, see `keras_bert.cli.tables.answers`."""

    def __init__(self, args: argparse.Namespace, document: bool = False):
        self.embedder = load_embedder(args)
        self.width = args.truncate_dim or self.embedder.model.width
        encoder = self.embedder.encode_document if document else self.embedder.encode
        self._encode, self._options = encoder, encoding_options(args)

    def names(self) -> list[str]:
        return ["embedding"]

    def __call__(self, examples: list[Example]) -> Iterable[dict[str, Any]]:
        found = self._encode([e.text for e in examples], **self._options)
        return ({"embedding": vector} for vector in found)
