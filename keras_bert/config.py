"""`Config`: the numbers that are a model, validated, in JSON both ways.

Field names are those of Google's `bert_config.json` and Hugging Face's `config.json` of
BERT; a family whose own names differ (`families/`) lists them as aliases. Keys this
package has no use for are kept in `extra`, so that a file read and written again loses
nothing. Standard library only.
"""

import dataclasses
import functools
import json
import logging
import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from keras_bert.errors import (
    ConfigError,
    KerasBertError,
    MissingFileError,
    choose,
)
from keras_bert.strings import each_key_once

Class = TypeVar("Class", bound=type)
log = logging.getLogger(__name__)

# `gelu` is the exact erf form and `gelu_new` the tanh form, as in Hugging Face.
# The value is the canonical name; several spellings are in use for the same form.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "gelu_fast": "gelu_new",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
    "linear": "linear",
}
GELU_FORMS = {"erf": "gelu", "tanh": "gelu_new"}
PROBLEM_TYPES = (
    "regression",
    "single_label_classification",
    "multi_label_classification",
)
FLOAT32 = 3.4e38  # its largest number
MAX_JSON = 1 << 26  # bytes; the largest published files have a few million
MAX_DEPTH = 50  # levels; published files have five
POSITION_EMBEDDING_TYPES = ("absolute", "relative_key", "relative_key_query")


class Reach(NamedTuple):
    """How far a layer attends, and how its positions turn queries and keys.

    Attributes:
        window: tokens to either side that a token attends to; None is all of them.
        theta: base of the frequencies of rotary positions; None turns nothing.
    """

    window: int | None = None
    theta: float | None = None


class Disentangled(NamedTuple):
    """Attention with products of words with vectors of distances.

    Attributes:
        terms: of "c2p", content to position: queries of tokens with keys of distances;
            and "p2c", position to content: queries of distances with keys of tokens.
        rows: of the table of vectors in one direction; 0 is no table, and no terms.
        furthest: distances from it on are alike.
        buckets: whether far distances share rows.
        shares: queries and keys of distances are made by the matrices of words.
        norm: the vectors are normalized.
    """

    terms: tuple[str, ...] = ()
    rows: int = 0
    furthest: int = 0
    buckets: bool = False
    shares: bool = False
    norm: bool = False

    @property
    def scale(self) -> float:
        """What scores are scaled by, next to the width of a head."""
        return (1 + len(self.terms)) ** -0.5

    def projects(self, term: str) -> bool:
        """Whether distances have a matrix of their own for a term."""
        return bool(self.rows) and not self.shares and term in self.terms


@dataclass(frozen=True, kw_only=True)
class Config:
    """The hyper-parameters of an encoder and its head; each family subclasses it.

    Args:
        vocab_size: rows of the word-embedding table.
        hidden_size: width of the residual stream, a multiple of
            `num_attention_heads`.
        num_hidden_layers: transformer blocks.
        num_attention_heads: heads per block.
        intermediate_size: width of the feed-forward layer.
        hidden_act: activation of the feed-forward layer and, unless
            `masked_lm_act` is set, of the masked-LM transform; `"gelu"` is the exact
            erf form, `"gelu_new"` the tanh form.
        hidden_dropout_prob: dropout after embeddings, attention output and
            feed-forward output, between 0 and 1.
        attention_probs_dropout_prob: dropout on attention probabilities.
        max_position_embeddings: longest row, in tokens.
        type_vocab_size: token types (segments).
        initializer_range: standard deviation of the truncated normal initializer.
        layer_norm_eps: added to the variance in every LayerNorm.
        pad_token_id: the id whose positions a missing `attention_mask` hides.
        position_embedding_type: `"absolute"`; or scores of attention gain by how far
            tokens are apart, `"relative_key"` for queries, `"relative_key_query"` for
            keys too, and positions are not embedded.
        embedding_size: width of the embedding tables, projected to `hidden_size`;
            None, or the same width, is no projection. Model Garden's
            `embedding_width`.
        masked_lm_act: activation of the masked-LM transform; None takes `hidden_act`.
            KerasHub's is always the erf form.
        masked_lm_layer_norm_eps: added to the variance in the masked-LM transform;
            None takes `layer_norm_eps`.
        tie_word_embeddings: the masked LM's output matrix is the word embeddings; if
            False it has one of its own.
        classifier_dropout: dropout before a classification head; None takes
            `hidden_dropout_prob`.
        is_decoder: attend to earlier positions only (`BertLMHeadModel`).
        add_cross_attention: read from files but not built.
        num_labels: classes of a classification head.
        id2label: names of the classes, by id.
        problem_type: "regression", "single_label_classification",
            "multi_label_classification", or None to derive it from the labels.
        output_hidden_states: heads and encoder also return every layer's output.
        output_attentions: heads and encoder also return attention probabilities.
        extra: further keys of the file this config was read from, kept as found.

    Raises:
        ConfigError: a value or a combination cannot be used.

    Source: `BertConfig` in Google's `modeling.py`; Hugging Face
    `configuration_bert.py`.
    """

    # Of the family, not fields.
    model_type: ClassVar[str]  # in `config.json`
    aliases: ClassVar[Mapping[str, str]] = {}  # other names of fields, in `config.json`
    absent: ClassVar[tuple[str, ...]] = ()  # fields that its `config.json` lacks
    rules: ClassVar[Mapping[str, tuple]] = {}  # of its own fields, see `_RULES`
    # Published sizes: fields by name.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    # Padding has no position of its own: positions count the tokens that are not.
    counts_tokens: ClassVar[bool] = False
    # The encoder has a table of sines and cosines for rotary positions.
    sinusoid_table: ClassVar[bool] = False
    # They turn pairs of neighbours; otherwise halves of a head.
    rotates_neighbours: ClassVar[bool] = False
    # Layers normalize what goes into a sublayer, not what comes out of it.
    pre_norm: ClassVar[bool] = False
    # Feed-forward layers multiply what is activated with a gate.
    gated: ClassVar[bool] = False
    # What is one matrix: query, key and value ("attention"); the gate and what it is
    # multiplied with ("gate").
    fused: ClassVar[tuple[str, ...]] = ()
    # Of these, query and value alone have biases, apart from the matrix.
    splits_biases: ClassVar[bool] = False
    # Attention is disentangled.
    disentangles: ClassVar[bool] = False
    # Padding is 0 behind the embeddings, and attends to nothing.
    zeroes_padding: ClassVar[bool] = False

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    position_embedding_type: str = "absolute"
    embedding_size: int | None = None
    masked_lm_act: str | None = None
    masked_lm_layer_norm_eps: float | None = None
    tie_word_embeddings: bool = True
    classifier_dropout: float | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False
    num_labels: int = 2
    id2label: Mapping[int, str] | None = None
    problem_type: str | None = None
    output_hidden_states: bool = False
    output_attentions: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, rule in {**_RULES, **self.rules}.items():
            _check(name, getattr(self, name), *rule)
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                "Expected hidden_size to be a multiple of num_attention_heads. "
                f"Received: hidden_size={self.hidden_size}, "
                f"num_attention_heads={self.num_attention_heads}. "
                "Change one of them."
            )
        if self.pad_token_id >= self.vocab_size:
            raise ConfigError(
                f"Expected pad_token_id below vocab_size={self.vocab_size}. "
                f"Received: pad_token_id={self.pad_token_id}."
            )
        self._normalize_defaults()
        self._normalize_labels()

    def _normalize_defaults(self) -> None:
        """Leaves out what says no more than the field it would replace."""
        for name, (default, same) in _REPLACED_BY_DEFAULT.items():
            value = getattr(self, name)
            if value is not None and same(value, getattr(self, default)):
                object.__setattr__(self, name, None)

    def _normalize_labels(self) -> None:
        """Makes `id2label` and `num_labels` agree."""
        if self.id2label is None:
            return
        labels = {str(i): str(label) for i, label in self.id2label.items()}
        ids = [str(i) for i in range(len(labels))]
        if set(labels) != set(ids):
            raise ConfigError(
                "Expected id2label to name the classes 0, 1, 2 … without gaps. "
                f"Received ids: [{', '.join(labels)}]."
            )
        object.__setattr__(self, "id2label", {int(i): labels[i] for i in ids})
        object.__setattr__(self, "num_labels", len(labels))

    # === Derived ===

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def embedding_width(self) -> int:
        """Width of the embedding tables."""
        return self.embedding_size or self.hidden_size

    @property
    def projects_embeddings(self) -> bool:
        """Whether the embeddings are projected to `hidden_size`."""
        return self.embedding_size is not None

    @property
    def num_blocks(self) -> int:
        """Number of blocks with weights of their own."""
        return self.num_hidden_layers

    @property
    def inner_blocks(self) -> int:
        """Number of blocks in a group of them."""
        return 1

    @property
    def block_numbers(self) -> list[int]:
        """Which block each layer is, from the input on: layers may share one."""
        return list(range(self.num_blocks))

    @property
    def reaches(self) -> list[Reach]:
        """How far each layer attends, from the input on."""
        return [Reach()] * len(self.block_numbers)

    @property
    def embeds_positions(self) -> bool:
        """Whether positions have embeddings, added to those of the words."""
        return True

    @property
    def disentangled(self) -> Disentangled:
        """How attention scores gain products of words with distances."""
        return Disentangled()

    @property
    def convolution(self) -> tuple[int, str] | None:
        """Tokens under a convolution after the first layer, and its activation."""
        return None

    @property
    def relative_positions(self) -> bool:
        """Whether attention scores gain products with vectors of distances."""
        return self.position_embedding_type != "absolute"

    @property
    def rotated(self) -> tuple[str, ...]:
        """What of "query", "key" and "value" is turned by its position."""
        return ()

    @property
    def distance_buckets(self) -> int:
        """Number of biases of attention scores by how far tokens are apart."""
        return 0

    @property
    def transform_act(self) -> str:
        """Activation of the masked-LM transform."""
        return self.masked_lm_act or self.hidden_act

    @property
    def transform_eps(self) -> float:
        """Added to the variance in the masked-LM transform."""
        return self.masked_lm_layer_norm_eps or self.layer_norm_eps

    @property
    def head_dropout(self) -> float:
        """Dropout before a classification head."""
        if self.classifier_dropout is None:
            return self.hidden_dropout_prob
        return self.classifier_dropout

    @property
    def mlp_dropout(self) -> float:
        """Dropout within a gated feed-forward layer."""
        return 0.0

    @property
    def classifier_pooling(self) -> str:
        """Which tokens a head with a transform pools: "cls", the first, or "mean"."""
        return "cls"

    def has_bias(self, layer: str) -> bool:
        """Whether "attention", "mlp", "norm", "classifier" or "decoder" has one."""
        return True

    def dropout_of(self, head: str) -> float:
        """Dropout before the output layer of a head, such as "question_answering"."""
        return 0.0 if head == "question_answering" else self.head_dropout

    @property
    def crf(self) -> bool:
        """Whether labels of tokens are those of a conditional random field."""
        return bool(self.extra.get("crf"))

    @property
    def learned_windows(self) -> bool:
        """Whether the windows of a long text have learned weights."""
        return self.extra.get("window_pooling") == "learned"

    @property
    def first_position(self) -> int:
        """Row of the position table where a text begins."""
        return 0

    @property
    def max_length(self) -> int:
        """Longest row, in tokens."""
        return self.max_position_embeddings - self.first_position

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in order."""
        if self.id2label is None:
            return [f"LABEL_{i}" for i in range(self.num_labels)]
        return list(self.id2label.values())

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the weight axes, by the names of `keras_bert.axes`."""
        return {
            "vocab": self.vocab_size,
            "hidden": self.hidden_size,
            "embedding": self.embedding_width,
            "heads": self.num_attention_heads,
            "head_dim": self.head_dim,
            "mlp": self.intermediate_size,
            "gate": 2,
            "qkv": 3,
            "position": self.max_position_embeddings,
            "vectors": 2 * self.disentangled.rows,
            "taps": self.convolution[0] if self.convolution else 0,
            "distances": 2 * self.max_position_embeddings - 1,
            "segment": self.type_vocab_size,
            "classes": self.num_labels,
        }

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """Returns a published size by name.

        Args:
            name: a key of `presets`.
            **changes: fields to set differently, for instance `vocab_size=8000`.

        Raises:
            UnknownNameError: no such size, or no such field.

        Example:
            >>> from keras_bert import BertConfig
            >>> BertConfig.preset("mini", vocab_size=8000).hidden_size
            256
        """
        shape = cls.presets[choose("preset", name, cls.presets)]
        cls._refuse_unknown(changes)
        return cls(**{**shape, **changes})

    def replace(self, **changes: Any) -> Self:
        """Returns a copy with some fields changed and checked again.

        Args:
            **changes: fields by name; or `label2id`, from which `id2label` follows.
        """
        changes = _with_labels(changes, changes.pop("label2id", None))
        self._refuse_unknown(changes)
        if "num_labels" in changes and "id2label" not in changes:
            kept = self.id2label is not None and len(self.id2label)
            if kept != changes["num_labels"]:
                changes["id2label"] = None
        return dataclasses.replace(self, **changes)

    @classmethod
    def _refuse_unknown(cls, names: Iterable[str]) -> None:
        for name in names:
            choose("config field", name, [f.name for f in dataclasses.fields(cls)])

    # === Files ===

    # `loading.read_config`, set by `keras_bert`: formats are on a higher floor.
    _reader: ClassVar[Callable[..., Any]]

    @classmethod
    def from_pretrained(cls, path: str | Path, **overrides: Any) -> Self:
        """Reads the config of a checkpoint of any format, as a model's is read.

        Args:
            path: a checkpoint, see `from_pretrained` of a model; or a directory with
                only a `config.json` or `bert_config.json`, or such a file.
            **overrides: fields to set differently, and options of the download, see
                `keras_bert.hub.local_path`.

        Raises:
            ConfigError: it is the config of another family, or a value is wrong.
            MissingFileError: there is nothing.

        Example:
            >>> BertConfig.from_pretrained("ckpt/", num_labels=3)  # doctest: +SKIP
        """
        return cls._reader(path, getattr(cls, "model_type", None), **overrides)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads the keys of a `bert_config.json` or `config.json`.

        Keys that are not fields go to `extra`, unchanged. Names of labels whose ids are
        not 0, 1, 2 … are left out with a warning: which output they mean is not known.

        Raises:
            ConfigError: `model_type` is another family's, or a value is wrong.
        """
        values = cls._by_field(values)
        family = values.pop("model_type", cls.model_type)
        if family != cls.model_type:
            raise ConfigError(
                f"Expected the config of a {cls.model_type!r} model. "
                f"Received: model_type={family!r}."
            )
        values = _with_labels(values, values.pop("label2id", None))
        fields = {f.name for f in dataclasses.fields(cls)} - {"extra"}
        known = _without_odd_labels({k: v for k, v in values.items() if k in fields})
        for name in ("pad_token_id", "position_embedding_type"):
            if known.get(name, 0) is None:  # null in some published files
                del known[name]
        extra = {k: v for k, v in values.items() if k not in fields}
        return cls(**known, extra=extra)

    @classmethod
    def _by_field(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns values by the names of fields, whatever the file calls them."""
        named: dict[str, Any] = {}
        for key, value in values.items():
            name = cls.aliases.get(key, key)
            known = named.setdefault(name, value)
            if known is not value and known != value:  # NaN differs from itself
                raise ConfigError(
                    f"Expected {name} once. Received: {named[name]!r}, and {value!r} "
                    f"under the name {key}. Remove one of them."
                )
        return named

    @classmethod
    def from_json_file(cls, path: str | Path) -> Self:
        """Reads a `bert_config.json` or `config.json`.

        Raises:
            MissingFileError: there is no such file.
            ConfigError: the file is not a JSON object, or a value is wrong.
        """
        return cls.from_dict(read_json_file(path))

    def to_dict(self) -> dict[str, Any]:
        """Returns the keys of a `config.json`, `extra` included."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        extra = values.pop("extra")
        for name in _REPLACED_BY_DEFAULT:  # of few models, and no other library's
            if values[name] is None:
                del values[name]
        labels = values.pop("id2label")
        if labels is not None:
            del values["num_labels"]
            values["id2label"] = {str(i): label for i, label in labels.items()}
            values["label2id"] = {label: i for i, label in labels.items()}
        own = {field: alias for alias, field in self.aliases.items()}
        kept = {own.get(k, k): v for k, v in values.items() if k not in self.absent}
        return {**extra, "model_type": self.model_type, **kept}

    def to_json_string(self) -> str:
        """Returns `to_dict()` as JSON with sorted keys and a final newline."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"


def _with_labels(values: dict[str, Any], ids: Any) -> dict[str, Any]:
    """Takes the names of classes from `label2id` if `id2label` has none."""
    if not isinstance(ids, Mapping) or not ids:
        return values
    names = {str(i): str(name) for name, i in ids.items()}
    labels = values.get("id2label")
    if not labels and len(names) < len(ids):
        raise ConfigError(
            "Expected label2id to name each id once, or an id2label. "
            f"Received: label2id={ids}."
        )
    if not labels:
        return {**values, "id2label": names}
    given = labels.items() if isinstance(labels, Mapping) else ()
    if {str(i): str(name) for i, name in given} != names:
        log.warning(
            "label2id is not the inverse of id2label: taking id2label, as transformers "
            "does. Correct one of them."
        )
    return values


def _without_odd_labels(values: dict[str, Any]) -> dict[str, Any]:
    labels = values.get("id2label")
    if not isinstance(labels, Mapping) or not labels:
        return values
    if {*map(str, labels)} == {*map(str, range(len(labels)))}:
        return values
    log.warning(
        "id2label names the ids %s, not 0 to %d: the names are left out. Give them "
        "again, as id2label={0: …}.",
        ", ".join(map(str, [*labels][:5])),
        len(labels) - 1,
    )
    return {**values, "id2label": None, "num_labels": len(labels)}


def read_json_file(
    path: str | Path, error: type[KerasBertError] = ConfigError
) -> dict[str, Any]:
    """Reads the JSON object in a file that describes a model.

    Args:
        path: the file.
        error: what to raise if it cannot be used.

    Raises:
        MissingFileError: there is no such file.
        ConfigError: it is not a JSON object, too large, nested too deeply, or its
            text cannot be written again.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"Expected a config file at {path}; none is there.")
    if path.stat().st_size > MAX_JSON:
        raise error(
            f"Expected at most {MAX_JSON:,} bytes of JSON in {path}. "
            f"Received: {path.stat().st_size:,}."
        )
    try:
        values = json.loads(
            path.read_text(encoding="utf-8-sig"), object_pairs_hook=each_key_once
        )
        json.dumps(values, ensure_ascii=False).encode()  # no half of a character
    except (ValueError, RecursionError) as problem:  # also numbers of 5,000 digits
        raise error(f"Expected JSON in {path}. Received: {problem}.") from problem
    if not isinstance(values, dict) or _depth(values) > MAX_DEPTH:
        raise error(
            f"Expected a JSON object in {path}, nested at most {MAX_DEPTH} levels "
            f"deep. Received: {json.dumps(values)[:40]} …"
        )
    return values


def _depth(values: Any) -> int:
    """Returns the levels of nested JSON, counted to one above the limit."""
    level, depth = [values], 0
    while level and depth <= MAX_DEPTH:
        nested = [list(v.values()) if isinstance(v, dict) else v for v in level]
        level = [v for values in nested for v in values if isinstance(v, dict | list)]
        depth += 1
    return depth


def aliased(**names: str) -> Callable[[Class], Class]:
    """Gives the fields of a config further names, for calls, attributes and JSON.

    Args:
        **names: the further name, and the field it stands for.
    """

    def decorate(cls: Class) -> Class:
        changed: Any = cls
        init = changed.__init__

        @functools.wraps(init)
        def __init__(self: Any, **values: Any) -> None:
            init(self, **{names.get(name, name): v for name, v in values.items()})

        changed.__init__, changed.aliases = __init__, names
        for alias, field_name in names.items():
            setattr(cls, alias, property(operator.attrgetter(field_name)))
        return cls

    return decorate


# === Validation ===


def _same_act(one: str, other: str) -> bool:
    return ACTIVATIONS[one] == ACTIVATIONS[other]


# A field that may be None, the field that then takes its place, and when they agree.
_REPLACED_BY_DEFAULT = {
    "embedding_size": ("hidden_size", operator.eq),
    "masked_lm_act": ("hidden_act", _same_act),
    "masked_lm_layer_norm_eps": ("layer_norm_eps", operator.eq),
}


def _check(
    name: str, value: Any, kinds: tuple, accept: Callable[[Any], bool], expected: str
) -> None:
    # bool is an int in Python, but `hidden_size=True` is a mistake.
    wrong_kind = isinstance(value, bool) and bool not in kinds
    if wrong_kind or not isinstance(value, kinds) or not accept(value):
        raise ConfigError(f"Expected {name} to be {expected}. Received: {value!r}.")


FRACTION = ((int, float), lambda v: 0 <= v < 1, "a number in [0, 1)")
ABOVE_ZERO = ((int, float), lambda v: 0 < v < FLOAT32, "a number above 0, of float32")
FLAG = ((bool,), lambda v: True, "True or False")


SIZE = ((int,), lambda v: 0 < v < 1 << 31, "a positive integer below 2**31")
# Their names are listed.
_LABELS = ((int,), lambda v: 0 < v <= 1 << 20, "an integer from 1 to 2**20")


def _optional(rule: tuple) -> tuple:
    kinds, accept, expected = rule
    kinds = (*kinds, type(None))
    return (kinds, lambda v: v is None or accept(v), f"{expected}, or None")


def one_of(options: Collection[str]) -> tuple:
    return ((str,), lambda v: v in options, f"one of {', '.join(options)}")


_RULES = {
    "vocab_size": SIZE,
    "hidden_size": SIZE,
    "num_hidden_layers": SIZE,
    "num_attention_heads": SIZE,
    "intermediate_size": SIZE,
    "hidden_act": one_of(ACTIVATIONS),
    "hidden_dropout_prob": FRACTION,
    "attention_probs_dropout_prob": FRACTION,
    "max_position_embeddings": SIZE,
    "type_vocab_size": SIZE,
    "initializer_range": ABOVE_ZERO,
    "layer_norm_eps": ABOVE_ZERO,
    "pad_token_id": ((int,), lambda v: v >= 0, "an id, 0 or above"),
    "position_embedding_type": one_of(POSITION_EMBEDDING_TYPES),
    "embedding_size": _optional(SIZE),
    "masked_lm_act": _optional(one_of(ACTIVATIONS)),
    "masked_lm_layer_norm_eps": _optional(ABOVE_ZERO),
    "tie_word_embeddings": FLAG,
    "classifier_dropout": _optional(FRACTION),
    "is_decoder": FLAG,
    "add_cross_attention": FLAG,
    "num_labels": _LABELS,
    "id2label": ((Mapping, type(None)), lambda v: v != {}, "a dict of id to name"),
    "problem_type": _optional(one_of(PROBLEM_TYPES)),
    "output_hidden_states": FLAG,
    "output_attentions": FLAG,
    "extra": ((Mapping,), lambda v: True, "a dict"),
}
