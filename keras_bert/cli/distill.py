"""`keras-bert distill`: a small model that learns what a fine-tuned one answers."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from keras_bert.cli import finetune
from keras_bert.cli.sweep import is_sweep
from keras_bert.errors import ConfigError, InputError

STUDENT = "student"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments: those of `finetune`, and of the teacher."""
    finetune.configure(parser)
    for action in parser._actions:
        if action.dest == "model":
            action.required = False
            action.help = (
                "the student: a checkpoint of any format, or a size by name, such as "
                "mini, for a new one of the teacher's family"
            )
    add = parser.add_argument_group("teacher").add_argument
    add("--teacher", required=True, metavar="PATH", help="a model trained on the task")
    add(
        "--student-layers",
        type=int,
        nargs="+",
        metavar="N",
        help="instead of --model, a student that starts from these layers of the "
        "teacher, counted from 0, and its embeddings",
    )
    add("--temperature", type=float, default=2.0, help="that logits are divided by")
    add(
        "--teacher-weight",
        type=float,
        default=0.5,
        help="share of the teacher's answers in the loss; the rest is of the labels",
    )
    add(
        "--hidden-weight",
        type=float,
        default=0.0,
        help="weight of the squared difference of hidden states",
    )
    add(
        "--layer-map",
        nargs="+",
        metavar="I:J",
        help="layers to compare, of the student and of the teacher; 0 are the "
        "embeddings (evenly spread)",
    )


def run(args: argparse.Namespace) -> None:
    """Trains the student, and writes it as `keras-bert finetune` does."""
    from keras_bert.training.distillation import Distillation

    if is_sweep(args):
        raise ConfigError("Expected one run. Received: --seeds or --grid with distill.")
    distillation = Distillation(
        temperature=args.temperature,
        teacher_weight=args.teacher_weight,
        hidden_weight=args.hidden_weight,
        layers=args.layer_map and dict(map(_pair, args.layer_map)),
        teacher=args.teacher,
    )
    teacher = _teacher(args)
    args.labels = args.labels or getattr(teacher, "labels", None)
    with _student(args, teacher) as model:
        args.model = str(model)
        _check_vocabulary(args, teacher)
        finetune.train(args, teacher.model, distillation=distillation.settings())


def _teacher(args: argparse.Namespace) -> Any:
    """Returns the trained task, its model made on the devices of the run."""
    from keras_bert.training.distribution import distribution

    kind = finetune.kind_of(args)
    with distribution(args.distribution, args.model_shards).scope():
        teacher = kind.load(args.teacher, dtype=args.dtype)
        teacher.model.trainable = False
    return teacher


def _pair(text: str) -> tuple[int, int]:
    first, _, second = text.partition(":")
    if not (first.isdecimal() and second.isdecimal()):
        raise ConfigError(
            f"Expected --layer-map I:J, such as 1:2 2:4. Received: {text!r}."
        )
    return int(first), int(second)


@contextmanager
def _student(args: argparse.Namespace, teacher: Any) -> Iterator[Path]:
    """Yields the checkpoint that the student starts from; a new one is written once."""
    from keras_bert.training.distillation import student_of

    if (args.model is None) == (args.student_layers is None):
        raise ConfigError(
            "Expected either --model or --student-layers. Received: "
            f"--model {args.model}, --student-layers {args.student_layers}."
        )
    sizes = type(teacher.config).presets
    if args.model is not None and args.model not in sizes:
        yield Path(args.model)
        return
    if args.model is None:
        student = student_of(teacher.model, args.student_layers, args.seed)
    else:
        student = _new(teacher, sizes[args.model], args.seed)
    with TemporaryDirectory() as folder:
        place = Path(folder if args.dry_run else args.output) / STUDENT
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            student.save_pretrained(place, tokenizer=teacher.tokenizer)
        yield place


def _new(teacher: Any, size: Any, seed: int) -> Any:
    """Returns a new model like the teacher, of another size."""
    return teacher.model.like(teacher.config.replace(**size), seed=seed)


def _check_vocabulary(args: argparse.Namespace, teacher: Any) -> None:
    """Raises an error if the student has other tokens than the teacher."""
    from keras_bert.checkpoints import formats
    from keras_bert.cli.models import load_tokenizer
    from keras_bert.loading import local_path

    config = formats.read(local_path(args.model)).config
    own, other = load_tokenizer(args, config), teacher.tokenizer
    if list(own.vocab) != list(other.vocab):
        raise InputError(
            "Expected a student with the vocabulary of the teacher, whose answers are "
            f"to the same ids. Received: {len(own):,} tokens in {args.model}, and "
            f"{len(other):,} in {args.teacher}, not all the same."
        )
