"""What a family is: the one value that everything else asks about it."""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from keras_bert.config import Config
from keras_bert.errors import choose
from keras_bert.families.names import vector
from keras_bert.families.rows import Row, expand

# What a model with a head is called, after the family's own name.
CLASS_NAMES = {
    "encoder": "{}Model",
    "pretraining": "{}ForPreTraining",
    "replaced_tokens": "{}ForPreTraining",
    "sentence_order": "{}ForPreTraining",
    "masked_lm": "{}ForMaskedLM",
    "lm_head": "{}LMHeadModel",
    "causal_lm": "{}ForCausalLM",
    "next_sentence": "{}ForNextSentencePrediction",
    "sequence_classification": "{}ForSequenceClassification",
    "token_classification": "{}ForTokenClassification",
    "multiple_choice": "{}ForMultipleChoice",
    "question_answering": "{}ForQuestionAnswering",
}
# In most formats these have the same names: the model class tells which it is.
# Heads whose weights have the same names: one is not loaded as another.
ALIKE = {"sequence_classification", "token_classification", "multiple_choice"}
CLASSIFIERS = ("sequence_classifier", "token_classifier", "multiple_choice")
OUTPUTS = (*CLASSIFIERS, "qa")  # and this one, in some families
# What weights there are that not every model of a part has, and which models have them.
OPTIONS: Mapping[str, Callable[[Config], bool]] = {
    "untied": lambda config: not config.tie_word_embeddings,
    "crf": lambda config: config.crf,
    "relative": lambda config: config.relative_positions,
    "positions": lambda config: config.embeds_positions,
    "types": lambda config: config.type_vocab_size > 0,
    "convolution": lambda config: config.convolution is not None,
    **{
        name: partial(lambda has, config: has(config.disentangled), has)
        for name, has in {
            "vectors": lambda how: how.rows,
            "vectors_norm": lambda how: how.rows and how.norm,
            "c2p": lambda how: how.projects("c2p"),
            "p2c": lambda how: how.projects("p2c"),
        }.items()
    },
    "window_query": lambda config: config.learned_windows,
    **{
        f"{layer}_bias": partial(lambda layer, config: config.has_bias(layer), layer)
        for layer in ("attention", "mlp", "norm", "classifier", "decoder")
    },
}
# Weights that this package adds to a part, which only its own format can hold.
ADDED = {
    "sequence_classifier": vector(
        "hidden", keras="window_query/query", option="window_query"
    ),
    "token_classifier": vector(
        "classes_in classes", keras="transitions/scores", option="crf"
    ),
}
# Parts that do not tell model classes apart.
BODY = ("encoder", "embedding_projection", "pooler")
# Which config field gives an axis its size, for messages.
FIELDS = {
    "vocab": "vocab_size",
    "hidden": "hidden_size",
    "hidden_in": "hidden_size",
    "classes_in": "num_labels",
    "embedding": "embedding_width",
    "heads": "num_attention_heads",
    "mlp": "intermediate_size",
    "position": "max_position_embeddings",
    "distances": "max_position_embeddings",
    "vectors": "max_relative_positions",
    "taps": "conv_kernel_size",
    "segment": "type_vocab_size",
    "classes": "num_labels",
    "buckets": "relative_attention_num_buckets",
}


class AddedRow(NamedTuple):
    """A table of embeddings of which every token takes row 0, as of a single task.

    Attributes:
        switch: config key that is true if the model has it.
        size: config key of its number of rows.
        table: its name in Hugging Face's files.
        target: the table to whose rows it is added when read.
    """

    switch: str
    size: str
    table: str
    target: str


class HeadPooler(NamedTuple):
    """A pooler that belongs to a head, where the encoder's is not used.

    Attributes:
        activation: of its dense layer; None takes `hidden_act`.
        drops: dropout comes before it as well as after it.
    """

    activation: str | None
    drops: bool


class KerasHub(NamedTuple):
    """KerasHub's code of a family, and what is fixed in it.

    Attributes:
        module: of its classes, below `keras_hub.src.models`.
        numbers: values of config fields that its encoder always computes with.
        masked_lm_numbers: those of its masked-LM head.
    """

    module: str
    numbers: Mapping[str, str | float]
    masked_lm_numbers: Mapping[str, str | float]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of models, as data.

    Args:
        class_prefix: of its model classes, such as "Bert".
        config: its config class.
        heads: the parts of a checkpoint, by kind of head; a kind that is absent is a
            head the family does not have.
        parts: the weights of every part. A part without a place in a format cannot be
            held by it.
        poolers: of heads that do not use the encoder's.
        prefix: what Hugging Face puts before the names of the encoder's weights.
        ties: names of Hugging Face's that repeat another one's weights.
        tokenizer: kind of its tokenizer, such as "wordpiece".
        tokenizer_class: Hugging Face's name of it; the family's own where it is empty.
        keras_hub: KerasHub's code of it, where it has some that can be read.
        read_as: prefixes of the model classes of other families that are read as this
            one, by their `model_type`.
        added_row: what such a family adds to the token types.
        left_behind: names of Hugging Face's of weights that published files hold though
            their models do not have them.
    """

    class_prefix: str
    config: type[Config]
    heads: Mapping[str, tuple[str, ...]]
    parts: Mapping[str, list[Row]]
    poolers: Mapping[str, HeadPooler] = field(default_factory=dict)
    prefix: str
    ties: Mapping[str, str] = field(default_factory=dict)
    tokenizer: str = "wordpiece"
    tokenizer_class: str = ""
    keras_hub: KerasHub | None = None
    read_as: Mapping[str, str] = field(default_factory=dict)
    added_row: AddedRow | None = None
    left_behind: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parts = {
            name: rows if ADDED.get(name) in (None, *rows) else [ADDED[name], *rows]
            for name, rows in self.parts.items()
        }
        object.__setattr__(self, "parts", parts)
        named = self.tokenizer_class or f"{self.class_prefix}Tokenizer"
        object.__setattr__(self, "tokenizer_class", named)

    @property
    def model_type(self) -> str:
        """The family's name in `config.json`."""
        return self.config.model_type

    @property
    def config_file(self) -> str:
        """Name of the config in Google's repositories, without `model_type` in it."""
        return f"{self.model_type}_config.json"

    @property
    def word_embeddings(self) -> str:
        """Hugging Face's name of the word embeddings in a model without a head."""
        name = self.parts["encoder"][0].placements["huggingface"].name
        return name.removeprefix(self.prefix)

    @property
    def alike(self) -> list[str]:
        """The parts that Hugging Face's files do not tell apart."""
        names = {p: self.parts[p][-1].placements for p in OUTPUTS if p in self.parts}
        own = names["token_classifier"].get("huggingface")
        return [
            p
            for p, x in names.items()
            if p in CLASSIFIERS or x.get("huggingface") == own
        ]

    @property
    def transforms(self) -> bool:
        """Whether all heads have the transform of a masked LM."""
        return "transform" in self.parts

    @property
    def models(self) -> dict[str, str]:
        """Kinds of head by the names of the model classes."""
        return {CLASS_NAMES[k].format(self.class_prefix): k for k in self.heads}

    @property
    def model_parts(self) -> dict[str, tuple[str, ...]]:
        """The parts of a checkpoint, by the names of the model classes."""
        return {name: self.heads[kind] for name, kind in self.models.items()}

    def class_name(self, head: str) -> str:
        """Returns a model class from its own name or its kind of head.

        Raises:
            UnknownNameError: the family has no such head.

        Example:
            >>> from keras_bert import families
            >>> families.of("bert").class_name("token_classification")
            'BertForTokenClassification'
        """
        if head in self.models:
            return head
        kind = choose("head", head, self.heads)
        return CLASS_NAMES[kind].format(self.class_prefix)

    def class_read(self, name: str | None) -> str | None:
        """Returns this family's class for one of a family that is read as it."""
        others = [p for p in self.read_as.values() if name and name.startswith(p)]
        if not name or not others:
            return name
        return self.class_prefix + name.removeprefix(others[0])

    def parts_of(self, model_class: str | None) -> tuple[str, ...]:
        """Returns the parts of a model class; none of one that is not the family's."""
        return self.model_parts.get(model_class or "", ())

    def names_in(self, format: str, config: Config) -> list[str]:
        """Returns the names a format has for all weights it can hold.

        Args:
            format: of checkpoints.
            config: gives the number of layers.
        """
        rows = self.rows(self.parts, config, OPTIONS)
        return [r.placements[format].name for r in rows if format in r.placements]

    def body(self, config: Config) -> tuple[str, ...]:
        """Returns the parts that every model of a config has."""
        projection = ("embedding_projection",) if config.projects_embeddings else ()
        return ("encoder", *projection)

    def sizes(self, config: Config) -> dict[str, int]:
        """Returns the size of every axis the rows name.

        `hidden_in` is `hidden` again, for matrices that have it twice, and `classes_in`
        is `classes`; `previous` is the class before one, or none.
        """
        classes = config.num_labels
        twice = {"hidden_in": config.hidden_size, "classes_in": classes}
        return {**config.sizes, **twice, "previous": classes + 1, "two": 2, "one": 1}

    def rows(
        self,
        parts: Iterable[str],
        config: Config,
        options: Container[str | None] = (),
    ) -> list[Row]:
        """Returns the weights of some parts, those of every layer written out.

        Args:
            parts: their names.
            config: gives the number of layers.
            options: names of `OPTIONS`, whose weights are among them.
        """
        rows = [row for part in parts for row in self.parts[part]]
        return expand(rows, config.num_blocks, options, config.inner_blocks)

    @property
    def has_relative_positions(self) -> bool:
        """Whether there are models of the family with relative positions."""
        return any(row.option == "relative" for row in self.parts["encoder"])

    @property
    def untied_rows(self) -> list[Row]:
        """The weights of an output matrix that is not the word embeddings."""
        rows = (row for part in self.parts.values() for row in part)
        return [row for row in rows if row.option == "untied"]

    def rows_of(self, parts: Iterable[str], config: Config) -> list[Row]:
        """Returns the weights that a model of a config has in some parts."""
        options = [name for name, has in OPTIONS.items() if has(config)]
        return self.rows(parts, config, options)
