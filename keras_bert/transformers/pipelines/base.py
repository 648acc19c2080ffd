"""What the pipelines share: texts to rows, rows to batches, outputs to results."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from tokenizers import Encoding

from keras_bert.errors import InputError, UnknownNameError, check_counts, choose
from keras_bert.models import PreTrainedModel
from keras_bert.tokenization import BertTokenizer
from keras_bert.transformers import lengths, tokenizers
from keras_bert.transformers.models import TFPreTrainedModel
from keras_bert.transformers.pipelines.computation import (
    Computation,
    float32,
    padded,
    placed,
)

ROWS = 8  # of a batch, unless batch_size says how many
MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# Outputs with a number for each token, next to those of three axes.
PER_TOKEN = ("start_logits", "end_logits")
# Methods that subclasses of transformers' pipelines define, and that are not called.
METHODS = {"preprocess", "_forward", "postprocess", "_sanitize_parameters"}
# Arguments of transformers' pipelines that have no meaning here, and the values that
# ask for what is done anyway; any value of those without a list.
ABSENT: Mapping[str, tuple[Any, ...] | None] = {
    "framework": ("tf", None),
    "feature_extractor": (None,),
    "image_processor": (None,),
    "processor": (None,),
    "binary_output": (False, None),
    "args_parser": None,
    "modelcard": None,
    "torch_dtype": (None, "auto"),
    "dtype": (None, "auto"),
    "num_workers": None,
}


class Row(NamedTuple):
    """A row of a batch.

    Attributes:
        inputs: of the model, by name: numbers, a token or a prediction each.
        encoding: the tokens, with their places in the text.
    """

    inputs: dict[str, list[int]]
    encoding: Encoding


@dataclass(frozen=True)
class Options:
    """The options of a pipeline.

    Attributes:
        tokenizer: options of the tokenizer's call.
    """

    tokenizer: Mapping[str, Any] = field(default_factory=dict)


class Pipeline:
    """Texts in, results as Python's numbers, strings, lists and dicts out.

    Args:
        model: a model of this package.
        tokenizer: of the model; None takes the one that is attached to it.
        task: what the pipeline is called.
        device: -1 or "cpu", or the number or name of a GPU; None leaves the choice to
            Keras.
        batch_size: rows that the model reads at once; None takes `ROWS`, and of an
            iterator one text after the other.
        **options: options of calls.

    Call arguments:
        inputs: a text, a list of texts, or an iterable of them.
        batch_size: see above.
        **options: see the class.

    Returns:
        The result of a text, a list of those of a list, an iterator of others.

    Raises:
        InputError: a text cannot be used; the message tells which.
        UnknownNameError: there is no such option.

    Source: the classes of these names in `transformers` 4.57.
    """

    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]  # of head, the one that is loaded first
    options_type: ClassVar[type[Options]] = Options
    # Whether other names are options of the tokenizer, and the name of a dict of them.
    takes_tokenizer_options: ClassVar[bool] = False
    tokenizer_dict: ClassVar[str] = ""
    framework = "tf"

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Any = None,
        *,
        task: str = "",
        device: Any = None,
        batch_size: int | None = None,
        **options: Any,
    ) -> None:
        refuse_absent(options)
        self.model = self._checked_model(model)
        self.tokenizer = tokenizer_of(model, tokenizer)
        self.task = task or self.name
        self.device, self._batch_size = device, batch_size
        self._given = options
        self._compute = Computation()
        self.read(options)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in METHODS & vars(cls).keys():
            raise UnknownNameError(
                f"Expected prepare() and answer(), see Pipeline, which a task defines "
                f"here. Received: {name}() of {cls.__name__}."
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={type(self.model).__name__})"

    def __call__(
        self,
        inputs: Any,
        *,
        batch_size: int | None = None,
        **options: Any,
    ) -> Any:
        refuse_absent(options)
        chosen = self.read(self._given | options)
        size = self._batch_size if batch_size is None else batch_size
        if size is not None:
            check_counts(batch_size=size)
        if self.is_one(inputs, chosen):
            return next(self._results([inputs], chosen, size))
        if not isinstance(inputs, Iterable):
            raise InputError(f"Expected a text or texts. {received(inputs)}")
        results = self._results(inputs, chosen, size)
        return list(results) if isinstance(inputs, list | tuple) else results

    predict = transform = __call__

    # === What a task defines ===

    def is_one(self, inputs: Any, options: Any) -> bool:
        """Whether inputs are one text, and not several."""
        return isinstance(inputs, str | bytes | Mapping)

    def prepare(self, item: Any, options: Any) -> list[Row]:
        """Returns the rows of a text.

        Args:
            item: the text, or what the task takes.
            options: of the call.

        Raises:
            InputError: it cannot be used.
        """
        if not isinstance(item, str):
            raise InputError(f"Expected a text. {received(item)}")
        return self.encode(item, **options.tokenizer)

    def answer(
        self,
        item: Any,
        rows: Sequence[Row],
        outputs: Sequence[dict[str, np.ndarray]],
        options: Any,
    ) -> Any:
        """Returns the result of a text.

        Args:
            item: see `prepare`.
            rows: what `prepare` returned.
            outputs: float32 outputs of the model for each row, without padding.
            options: of the call.
        """
        raise NotImplementedError

    # === Options ===

    def read(self, given: Mapping[str, Any]) -> Any:
        """Returns the options of a call.

        Args:
            given: the options of the pipeline and of the call, by name.

        Raises:
            UnknownNameError: there is no such option.
            InputError: an option has a value that it cannot have.
        """
        known = {f.name for f in fields(self.options_type)} - {"tokenizer"}
        own = {k: v for k, v in given.items() if k in known}
        others = {k: v for k, v in given.items() if k not in known}
        nested = others.pop(self.tokenizer_dict, None) or {}
        if not isinstance(nested, Mapping) or nested.keys() & others.keys():
            raise InputError(
                f"Expected in {self.tokenizer_dict} a dict of options that are given "
                f"once. Received: {nested!r:.60}, and {others!r:.60}."
            )
        others |= nested
        if not self.takes_tokenizer_options:
            for name in others:
                choose(f"option of {self.name}", name, sorted(known))
        return self.options_type(tokenizer=tokenizer_options(others), **own)

    # === Rows and batches ===

    def encode(self, text: Any, pair: str | None = None, **options: Any) -> list[Row]:
        """Returns the rows of a text, or pair: several if it overflows.

        Args:
            text: a string; words, with `is_split_into_words`.
            pair: the second text.
            **options: of the tokenizer's call.
        """
        pairs = [pair] if pair else None
        encoded = self.tokenizer([text], pairs, return_attention_mask=True, **options)
        names = [name for name in MODEL_INPUTS if name in encoded]
        if self.model.config.type_vocab_size < 2:
            names = [name for name in names if name != "token_type_ids"]
        return [
            Row({name: list(encoded[name][i]) for name in names}, encoding)
            for i, encoding in enumerate(encoded.encodings)
        ]

    @property
    def longest(self) -> int:
        """The tokens that a row may have."""
        return min(self.tokenizer.model_max_length, self.model.config.max_length)

    def _results(
        self, items: Iterable[Any], options: Any, size: int | None
    ) -> Iterator[Any]:
        in_list = isinstance(items, list | tuple)
        at_once = size or (ROWS if in_list else 1)
        numbered = enumerate(items)
        while group := list(islice(numbered, at_once)):
            rows = [self._rows(number, item, options) for number, item in group]
            outputs = self._outputs([*chain(*rows)], size or ROWS)
            for (_, item), own in zip(group, rows, strict=True):
                yield self.answer(item, own, [*islice(outputs, len(own))], options)

    def _rows(self, number: int, item: Any, options: Any) -> list[Row]:
        try:
            rows = self.prepare(item, options)
        except InputError as error:
            raise InputError(f"Text {number}: {error}") from error
        length, most = max(map(_length, rows)), self.model.config.max_length
        if length > most:
            raise InputError(
                f"Text {number}: expected at most {most} tokens, the positions of the "
                f"model. Received: {length}. {self.advice}"
            )
        return rows

    advice = "Truncate it: write truncation=True and max_length."

    def _outputs(
        self, rows: Sequence[Row], size: int
    ) -> Iterator[dict[str, np.ndarray]]:
        for begin in range(0, len(rows), size):
            yield from self._forward(rows[begin : begin + size])

    def _forward(self, rows: Sequence[Row]) -> Iterator[dict[str, np.ndarray]]:
        """Yields the outputs of each row of a batch."""
        inputs = padded([row.inputs for row in rows], self.tokenizer.pad_token_id)
        with placed(self.device):
            found = self._compute(self.model, inputs)
        values = {name: float32(value) for name, value in found.items()}
        for index, row in enumerate(rows):
            yield {
                name: value[index, : _outputs_length(row)]
                if value.ndim == 3 or name in PER_TOKEN
                else value[index]
                for name, value in values.items()
            }

    # === Files ===

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Writes model and tokenizer, to be read by their `from_pretrained`.

        Args:
            save_directory: the directory.
            **kwargs: further arguments of the model's method.
        """
        if not isinstance(self.model, TFPreTrainedModel):
            kwargs.setdefault("format", "huggingface")
        self.model.save_pretrained(save_directory, **kwargs)
        self.tokenizer.save_pretrained(save_directory)

    def _checked_model(self, model: Any) -> PreTrainedModel:
        if not isinstance(model, PreTrainedModel):
            raise InputError(
                "Expected a model of keras_bert, or for pipeline() the path of a "
                f"checkpoint. {received(model)} Save a model of another library, and "
                "give the folder."
            )
        if self.kinds and model.kind not in self.kinds:
            raise InputError(
                f"Expected for {self.name} a model with the head {self.kinds[0]!r}. "
                f"Received: {type(model).__name__}, with {model.kind!r}."
            )
        return model


# === Arguments ===


def refuse_absent(given: dict[str, Any]) -> None:
    """Takes out of arguments what has no meaning here.

    Raises:
        InputError: it asks for what cannot be had.
    """
    for name in ABSENT.keys() & given.keys():
        value, allowed = given.pop(name), ABSENT[name]
        if allowed is not None and value not in allowed:
            raise InputError(
                f"Expected no {name}, or {name}={allowed[0]!r}: models are those of "
                f"this package, and of text. Received: {name}={value!r:.60}."
            )


def check_stride(name: str, value: Any) -> None:
    """Raises InputError if a number of common tokens is neither None nor 0 or more."""
    if value is not None and not (isinstance(value, int) and value >= 0):
        raise InputError(f"Expected {name} of 0 or more. Received: {value!r}.")


def received(value: Any) -> str:
    """Returns what was received, in words."""
    return f"Received: {value!r:.60} of type {type(value).__name__}."


def tokenizer_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns options of a tokenizer's call, without those that a pipeline sets.

    Raises:
        UnknownNameError: there is no such option.
        InputError: a text would give several rows, and have one result.
    """
    lengths.Options.of(**given)
    options = {k: v for k, v in given.items() if k != "return_tensors"}
    if options.pop("return_overflowing_tokens", False):
        raise InputError(
            "Expected one row of a text. Received: return_overflowing_tokens=True."
        )
    return options


def tokenizer_of(model: PreTrainedModel, tokenizer: Any) -> Any:
    """Returns the tokenizer of a pipeline.

    Args:
        model: its attached tokenizer is taken if none is given.
        tokenizer: of this package, in either form, or one of `transformers`.

    Raises:
        InputError: there is none, or it does not know places in the text.
    """
    found = getattr(model, "tokenizer", None) if tokenizer is None else tokenizer
    if found is None:
        raise InputError(
            "Expected a tokenizer next to a model that is no path. Received: None. "
            "Write tokenizer=AutoTokenizer.from_pretrained(path)."
        )
    if isinstance(found, BertTokenizer):
        return tokenizers.of(found)
    if not getattr(found, "is_fast", False):
        raise InputError(
            f"Expected a tokenizer of keras_bert, or a fast one. {received(found)}"
        )
    return found


def _length(row: Row) -> int:
    return len(row.inputs["input_ids"])


def _outputs_length(row: Row) -> int:
    return len(row.inputs.get("masked_lm_positions", row.inputs["input_ids"]))
