"""TF2 checkpoints of the Model Garden, with object graphs, and TF-Hub's SavedModels.

A tensor's key depends on the program that saved it: `BertEncoder`'s layers are
numbered, `BertEncoderV2`'s are named, a pretrainer keeps the word embeddings in its
masked-LM head. So weights are found by their paths in the object graph, and go by the
names of `BertEncoderV2`.

Source: tensorflow/models `official/nlp/modeling/{networks,models}/bert_*.py`,
`official/nlp/tools/export_tfhub_lib.py`.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_bert import families
from keras_bert.checkpoints import bundle, files, object_graph, placeholder
from keras_bert.checkpoints.checkpoint import Checkpoint, Tensor
from keras_bert.checkpoints.formats import google
from keras_bert.checkpoints.object_graph import KEY, SUFFIX, ObjectGraph
from keras_bert.config import Config
from keras_bert.errors import CheckpointError
from keras_bert.families.family import BODY
from keras_bert.families.rows import MAX_LAYERS

FORMAT = "model_garden"
PREFIX = "bert_model.ckpt"
OPTIONS = ("optimizer", "max_shard_size")  # of `write`
SAVED_MODEL = "saved_model.pb"
LIBRARY = "the Model Garden"

# The objects at which the names of weights begin.
ENCODER, MASKED_LM, MODEL = "encoder", "masked_lm", "model"
V2 = ("_embedding_layer", "_position_embedding_layer", "_type_embedding_layer")
V1 = tuple(f"layer_with_weights-{i}" for i in range(3))
FIRST_BLOCK = 4  # among BertEncoder's layers; 5 with a projection
# Until 2020 the output projection was not in the attention layer.
OLD_ATTENTION = {"_attention_layer/_output_dense": "_attention_output_dense"}
NEXT_SENTENCE = "next_sentence..pooler_dense"  # the pooler that a pretrainer trains
SENTENCE_HEAD = "classification_heads/0"
POOLER = "encoder/_pooler_layer"
# With a masked-LM head, the word embeddings have another shortest path.
KEYS = {"encoder/_embedding_layer/embeddings": "masked_lm/embedding_table"}

# Variables that are not weights, by the path from the root.
SETTINGS = {
    "save_counter": "number of the checkpoint",
    "do_lower_case": "setting of the tokenizer",
    "optimizer": files.OPTIMIZER_STATE,
    "global_step": files.OPTIMIZER_STATE,
}
IMPORTANCE = "_token_importance_embed"
# Google's names of optimizer slots, by those used here.
SLOTS = {"m": "adam_m", "v": "adam_v"}
THEIR_SLOTS = {googles: name for name, googles in SLOTS.items()}
STEP = "global_step"
THEIR_COUNTERS = {STEP: "iter"}
# The activation, by the name of an operation as it is in a SavedModel's file.
ACTIVATIONS = {b"\x12\x03Erf": "gelu", b"\x12\x04Relu": "relu"}


# === Reading ===


def detect(path: Path) -> bool:
    """Whether a path is a Model Garden checkpoint or a SavedModel."""
    if _saved_model(path) is not None:
        return True
    return google.is_prefix(path) and object_graph.is_in(google.find_prefix(path))


def read(
    path: Path,
    *,
    gelu: str | None = None,
    config_file: str | Path | Config | None = None,
) -> Checkpoint:
    """Opens a checkpoint, or a SavedModel of an encoder.

    Without a `bert_config.json`, sizes are taken from the weights, and everything else
    is the Model Garden's default.

    Args:
        path: a prefix, a directory, or the directory of a SavedModel.
        gelu: "erf" or "tanh", overriding what the config says.
        config_file: the `bert_config.json`, if it is elsewhere, or a config.

    Raises:
        CheckpointError: it is damaged, or has no encoder.
    """
    saved_model = _saved_model(path)
    prefix = google.find_prefix(path) if saved_model is None else _variables(path)
    places = (prefix.parent, prefix.parent.absolute().parent)
    stored = bundle.read(prefix)
    graph = _graph(stored, prefix)
    found = _find(graph, stored, prefix)
    config, declared = _config(found, places, config_file, gelu)
    if saved_model is not None and gelu is None:
        config = _with_activation(config, saved_model)
    tensors = found.tensors
    ignored = found.ignored | placeholder.find(tensors, config, FORMAT)
    return Checkpoint(
        path=path,
        format=FORMAT,
        config=config,
        tensors={name: t for name, t in tensors.items() if name not in ignored},
        head=_head(tensors, declared, config),
        ignored=ignored,
        optimizer=found.optimizer,
        files=[
            *sorted(prefix.parent.glob(f"{prefix.name}.data-*")),
            Path(f"{prefix}.index"),
        ],
        tokenizer_files=files.tokenizer_files(*places)
        or sorted(path.glob("assets/*vocab*.txt")),
        tokenizer_settings=_tokenizer_settings(stored),
    )


def _graph(stored: dict[str, Tensor], prefix: Path) -> ObjectGraph:
    """Takes the object graph out of the stored tensors."""
    with files.readable(prefix):
        graph = ObjectGraph.decode(stored.pop(KEY).load().item())
    keys = (node.key for node in graph.nodes if node.key is not None)
    missing = [key.removesuffix(SUFFIX) for key in keys if key not in stored]
    if missing:
        raise CheckpointError(
            f"Expected the tensors of all objects in {prefix}. Missing: "
            f"{', '.join(missing[:10])}. The file is damaged; copy it again."
        )
    return graph


def _saved_model(path: Path) -> Path | None:
    """Returns the file that makes a directory a SavedModel, if it exists."""
    file = path / SAVED_MODEL
    return file if file.is_file() else None


def _variables(path: Path) -> Path:
    """Returns the prefix of a SavedModel's variables."""
    return path / "variables" / "variables"


def _tokenizer_settings(stored: Mapping[str, Tensor]) -> dict[str, bool]:
    lower = stored.get(f"do_lower_case{SUFFIX}")
    return {"do_lower_case": bool(lower.load())} if lower is not None else {}


# === Reading: names ===


@dataclasses.dataclass
class _Found:
    """What was found by a graph: weights by name, the rest by key."""

    tensors: dict[str, Tensor]
    ignored: dict[str, str]
    optimizer: dict[str, Tensor]
    layers: int


class _Spelling(NamedTuple):
    """How an encoder names its layers.

    Args:
        layers: transformer blocks.
        projected: has an embedding projection.
        numbered: `BertEncoder`'s names, not `BertEncoderV2`'s.
    """

    layers: int
    projected: bool
    numbered: bool

    def paths(self, name: str) -> list[str]:
        """Returns the possible paths of a weight of the encoder."""
        names = [name, *(name.replace(*pair) for pair in OLD_ATTENTION.items())]
        if not self.numbered:
            return names
        numbers = numbered_names(self.layers, self.projected)
        pairs = [
            (path, n) for path in names for n in numbers if path.startswith(n + "/")
        ]
        return [numbers[name] + path.removeprefix(name) for path, name in pairs]


def numbered_names(layers: int, projected: bool) -> dict[str, str]:
    """Returns `BertEncoder`'s name of every layer by `BertEncoderV2`'s.

    Example:
        >>> numbered_names(1, False)["_transformer_layers/0"]
        'layer_with_weights-4'
    """
    names = [
        *V2,
        "_embedding_norm_layer",
        *(["_embedding_projection"] if projected else []),
        *(f"_transformer_layers/{i}" for i in range(layers)),
        "_pooler_layer",
    ]
    return {name: f"layer_with_weights-{i}" for i, name in enumerate(names)}


def _find(graph: ObjectGraph, stored: Mapping[str, Tensor], prefix: Path) -> _Found:
    """Gives everything that is stored a name."""
    encoder, spelling = _encoder(graph, prefix)
    starts = _starts(graph, encoder)
    nodes: dict[str, int] = {}
    for name in _names(spelling.layers):
        first, _, rest = name.partition("/")
        paths = spelling.paths(rest) if first == ENCODER else [rest]
        ways = (graph.walk(starts[first], p) for p in paths if first in starts)
        found = [n for n in ways if n is not None and _value(graph, n)]
        nodes |= {name: found[0]} if found else {}
    ignored = _replace_pooler(graph, nodes, starts)
    optimizer = _optimizer(graph, nodes)
    weights = {*nodes.values(), *ignored, *optimizer}
    ignored |= _other_variables(graph, weights, starts)
    tensors = {name: stored[_value(graph, n)] for name, n in nodes.items()}
    taken = {_value(graph, node) for node in [*nodes.values(), *ignored, *optimizer]}
    rest = {key: stored[key] for key in stored if key not in taken}
    return _Found(
        tensors | {key.removesuffix(SUFFIX): t for key, t in rest.items()},
        {_name(graph, node, tensors): reason for node, reason in ignored.items()},
        {name: stored[_value(graph, node)] for node, name in optimizer.items()},
        spelling.layers,
    )


def _value(graph: ObjectGraph, node: int) -> str | None:
    return graph.nodes[node].key


def _name(graph: ObjectGraph, node: int, taken: Mapping[str, Tensor]) -> str:
    """Returns the key as a name, or a longer path if a weight has that name."""
    key = (_value(graph, node) or "").removesuffix(SUFFIX)
    longer = f"{MODEL}/encoder_network/{key.removeprefix(f'{ENCODER}/')}"
    return longer if key in taken else key


def _encoder(graph: ObjectGraph, prefix: Path) -> tuple[int, _Spelling]:
    """Finds the encoder and its kind of names, preferring names to numbers."""
    for tables in (V2, V1):
        at = next(graph.having(*(f"{table}/embeddings" for table in tables)), None)
        if at is not None:
            return at, _spelling(graph, at, tables is V1)
    raise CheckpointError(
        f"Expected the encoder of a Model Garden BERT in {prefix}. Received a TF2 "
        f"checkpoint without {V2[1]}/embeddings or {V1[1]}/embeddings."
    )


def _spelling(graph: ObjectGraph, encoder: int, numbered: bool) -> _Spelling:
    attention = "_attention_layer/_query_dense"
    if not numbered:
        projected = graph.walk(encoder, "_embedding_projection/kernel") is not None
        block = "_transformer_layers/{i}"
        first = 0
    else:
        after_norm = f"layer_with_weights-{FIRST_BLOCK}"
        projected = graph.walk(encoder, f"{after_norm}/kernel") is not None
        block, first = "layer_with_weights-{i}", FIRST_BLOCK + projected
    layers = 0
    while graph.walk(encoder, f"{block.format(i=first + layers)}/{attention}"):
        layers += 1
    return _Spelling(layers, projected, numbered)


def _starts(graph: ObjectGraph, encoder: int) -> dict[str, int]:
    """Returns the objects at which names of weights begin, if they exist."""
    masked_lm = graph.having("embedding_table", "layer_norm/gamma")
    pretrainer = graph.having(SENTENCE_HEAD, "encoder_network")
    classifier = (
        node
        for node in graph.having("layer_with_weights-0", "layer_with_weights-1")
        if graph.walk(node, "layer_with_weights-0") == encoder
    )
    starts = {
        ENCODER: encoder,
        MASKED_LM: next(masked_lm, None),
        MODEL: next(pretrainer, next(classifier, None)),
    }
    return {name: node for name, node in starts.items() if node is not None}


def _names(layers: int) -> dict[str, None]:
    """Returns the names of all weights of all families."""
    known = families.with_place_in(FORMAT)
    count = min(layers, MAX_LAYERS)
    found = (f.names_in(FORMAT, f.config(num_hidden_layers=count)) for f in known)
    return dict.fromkeys(name for names in found for name in names)


# === Reading: variables that are not weights ===


def _other_variables(
    graph: ObjectGraph, weights: set[int], starts: Mapping[str, int]
) -> dict[int, str]:
    """Returns known variables that are not weights: the reason by node."""
    ignored = {}
    importance = graph.walk(starts[ENCODER], IMPORTANCE)
    reasons = [(n, SETTINGS[p]) for p in SETTINGS if (n := graph.walk(0, p))]
    reasons += [(importance, "token importance, for training that drops tokens")]
    for start, reason in reasons:
        below = graph.below(start) if start is not None else set()
        slots = {s for n in below for _, _, s in graph.nodes[n].slots}
        found = [n for n in below | slots if _value(graph, n) and n not in weights]
        ignored |= dict.fromkeys(found, reason)
    return ignored


def _replace_pooler(
    graph: ObjectGraph, nodes: dict[str, int], starts: Mapping[str, int]
) -> dict[int, str]:
    """Takes the pooler that a pretrainer trains; its encoder's stays untrained."""
    head = graph.walk(0, NEXT_SENTENCE)
    if head is None and MODEL in starts:
        head = graph.walk(starts[MODEL], f"{SENTENCE_HEAD}/dense")
    if head is None:
        return {}
    ignored = {}
    for last in ("kernel", "bias"):
        name, trained = f"{POOLER}/{last}", graph.walk(head, last)
        if name in nodes and trained is not None and nodes[name] != trained:
            reason = f"the encoder's own pooler; {NEXT_SENTENCE} is the trained one"
            ignored[nodes[name]] = reason
        if trained is not None:
            nodes[name] = trained
    return ignored


def _optimizer(graph: ObjectGraph, nodes: Mapping[str, int]) -> dict[int, str]:
    """Returns an optimizer's slots, as `<weight>/<slot>`, and its counter, by node."""
    names = {node: name for name, node in nodes.items()}
    found = {
        slot: f"{names[of]}/{SLOTS.get(name, name)}"
        for node in graph.nodes
        for of, name, slot in node.slots
        if of in names
    }
    steps = (graph.walk(0, path) for path in ("optimizer/iter", STEP))
    step = next((n for n in steps if n is not None), None)
    return found | ({step: STEP} if step is not None else {})


# === Reading: numbers ===


def _config(
    found: _Found,
    places: Iterable[Path],
    config_file: str | Path | Config | None,
    gelu: str | None,
) -> tuple[Config, str | None]:
    """Returns the config next to the weights, completed from their shapes."""
    names = ("bert_config.json",)
    sizes = _sizes(found)
    there = any((place / name).is_file() for place in places for name in names)
    if not there and config_file is None:
        return _without_file(sizes, gelu), None
    config, head = files.read_config(names, places, config_file)
    # The file has no field for these, or one that the code ignores.
    told = {n: sizes[n] for n in ("embedding_size", "type_vocab_size")}
    if config.id2label is None and "num_labels" in sizes:
        told["num_labels"] = sizes["num_labels"]
    return google.with_gelu(config, gelu).replace(**told), head


def _without_file(sizes: Mapping[str, int], gelu: str | None) -> Config:
    family, *_ = families.with_place_in(FORMAT)
    config = family.config.from_dict({**sizes, "hidden_act": "gelu"})
    return google.with_gelu(config, gelu)


# The config field that each dimension of these tensors gives.
_SHAPES = {
    "_embedding_layer/embeddings": ("vocab_size", "embedding_size"),
    "_position_embedding_layer/embeddings": ("max_position_embeddings", None),
    "_type_embedding_layer/embeddings": ("type_vocab_size", None),
    "_transformer_layers/0/_attention_layer/_query_dense/kernel": (
        "hidden_size",
        "num_attention_heads",
        None,
    ),
    "_transformer_layers/0/_intermediate_dense/kernel": (None, "intermediate_size"),
}
_CLASSIFIERS = tuple(
    f"model/layer_with_weights-1{middle}/kernel" for middle in ("", "/out_proj")
)


def _sizes(found: _Found) -> dict[str, int]:
    """Takes config fields from the shapes of weights."""
    sizes = {"num_hidden_layers": found.layers}
    named = {f"{ENCODER}/{name}": fields for name, fields in _SHAPES.items()}
    for name, fields in (
        named | dict.fromkeys(_CLASSIFIERS, (None, "num_labels"))
    ).items():
        shape = found.tensors[name].shape if name in found.tensors else ()
        if name in found.tensors and len(shape) != len(fields):
            raise CheckpointError(
                f"Expected {name} to have {len(fields)} dimensions. Received: {shape}."
            )
        sizes |= {f: n for f, n in zip(fields, shape, strict=False) if f}
    return sizes


def _with_activation(config: Config, saved_model: Path) -> Config:
    """Takes the activation from the operations of a SavedModel."""
    operations = saved_model.read_bytes()
    named = (name for mark, name in ACTIVATIONS.items() if mark in operations)
    return config.replace(hidden_act=next(named, "gelu_new"))


def _head(tensors: Mapping[str, Tensor], declared: str | None, config: Config) -> str:
    """Returns the model class that has just the output layers found."""
    family = families.of(config)
    present = {
        part
        for part, rows in family.parts.items()
        if any(
            r.placements[FORMAT].name in tensors for r in rows if FORMAT in r.placements
        )
    } - {*BODY}
    fitting = [h for h, p in family.model_parts.items() if {*p} - {*BODY} == present]
    return declared if declared in fitting else next(iter(fitting), declared)


# === Writing ===


def write(
    folder: Path,
    config: Config,
    head: str,
    tensors: Mapping[str, Tensor],
    *,
    optimizer: Mapping[str, Tensor] | None = None,
    max_shard_size: int | None = None,
) -> list[str]:
    """Writes `bert_model.ckpt.*`, `checkpoint` and `bert_config.json`.

    `tf.train.Checkpoint(model=…, **model.checkpoint_items)` restores it, and so does
    `tf.train.Checkpoint(encoder=…)`, with a `BertEncoder` or a `BertEncoderV2`.

    Args:
        folder: an existing directory.
        config: the model's config.
        head: its class.
        tensors: by the names of `BertEncoderV2` and of the models on it.
        optimizer: slots as `<weight>/<slot>`, and `global_step`.
        max_shard_size: bytes of a data file; None for a single one.

    Returns:
        Warnings about where the Model Garden's own code differs.

    Raises:
        CheckpointError: that code does not have the activation.
    """
    values, warnings = google.to_google_config(config, head)
    files.write_json(folder / "bert_config.json", values)
    tensors, more = placeholder.fill(tensors, config, FORMAT, LIBRARY)
    program = _Program(config, tensors)
    program.add_optimizer(optimizer or {})
    bundle.write(folder / PREFIX, program.stored(), max_shard_size)
    google.write_note(folder)
    return [*warnings, *more, *_without_class(tensors)]


class _Program:
    """The objects of a Model Garden program with these weights.

    Args:
        config: the model's config.
        tensors: by the names of `BertEncoderV2` and of the models on it.
    """

    def __init__(self, config: Config, tensors: Mapping[str, Tensor]):
        self.graph, self.tensors = ObjectGraph(), tensors
        self.values: dict[str, Tensor] = {}
        masked = any(name.startswith(f"{MASKED_LM}/") for name in tensors)
        self.keys = KEYS if masked else {}
        self.nodes = {name: self.put(name, tensor) for name, tensor in tensors.items()}
        self.put("save_counter", Tensor.of(np.array(1, "int64")))
        self.number_layers(config)
        self.make_model()

    def put(self, path: str, tensor: Tensor) -> int:
        """Makes a variable."""
        key = self.keys.get(path, path) + SUFFIX
        self.values[key] = tensor
        return self.graph.add(path, key)

    def link(self, path: str, target: str) -> None:
        """Gives an object a second path, if it exists."""
        node = self.graph.walk(0, target)
        if node is not None:
            self.graph.link(path, node)

    def number_layers(self, config: Config) -> None:
        """Gives the encoder's layers the names of `BertEncoder` as well."""
        projected = config.embedding_size is not None
        for name, number in numbered_names(config.num_hidden_layers, projected).items():
            self.link(f"{ENCODER}/{number}", f"{ENCODER}/{name}")

    def make_model(self) -> None:
        """Makes the root's `model`: the encoder, a classifier, or a pretrainer."""
        tops = {"/".join(name.split("/")[:2]) for name in self.tensors}
        if f"{MODEL}/layer_with_weights-1" in tops:
            self.link(f"{MODEL}/layer_with_weights-0", ENCODER)
        elif {name.split("/")[0] for name in tops} == {ENCODER}:
            self.link(MODEL, ENCODER)
        else:
            self.link(f"{MODEL}/encoder_network", ENCODER)
            self.link(f"{MODEL}/{MASKED_LM}", MASKED_LM)
            self.share()

    def share(self) -> None:
        """Adds a pretrainer's own paths: to the embedding table, and its pooler."""
        if self.keys:
            table = f"{ENCODER}/{V2[0]}/embeddings"
            self.link(f"{MASKED_LM}/embedding_table", table)
        if f"{MODEL}/{SENTENCE_HEAD}/out_proj/kernel" in self.tensors:
            for last in ("kernel", "bias"):
                name = f"{POOLER}/{last}"
                path = f"{NEXT_SENTENCE}/{last}"
                # The optimizer's slots belong to the trained one.
                self.nodes[name] = self.put(path, self.tensors[name])
            self.link(f"{MODEL}/{SENTENCE_HEAD}/dense", NEXT_SENTENCE)

    def add_optimizer(self, optimizer: Mapping[str, Tensor]) -> None:
        """Makes an optimizer with slots `<weight>/<slot>` and counters."""
        for name, tensor in optimizer.items():
            weight, _, slot = name.rpartition("/")
            if weight:
                self.add_slot(self.nodes[weight], THEIR_SLOTS.get(slot, slot), tensor)
            else:
                self.put(f"optimizer/{THEIR_COUNTERS.get(name, name)}", tensor)

    def add_slot(self, node: int, slot: str, tensor: Tensor) -> None:
        """Makes a slot of a variable."""
        of = str(self.graph.nodes[node].key).removesuffix(SUFFIX)
        key = f"{of}/.OPTIMIZER_SLOT/optimizer/{slot}{SUFFIX}"
        self.values[key] = tensor
        self.graph.add_slot("optimizer", node, slot, key)

    def stored(self) -> dict[str, Tensor]:
        """Returns what the checkpoint holds, by key."""
        graph = Tensor.of(np.array(self.graph.encode(), object))
        return {**self.values, KEY: graph}


def _without_class(names: Iterable[str]) -> list[str]:
    """Warns if no class of the Model Garden has exactly these parts."""
    parts = {name.split("/")[0] for name in names}
    alone = any(SENTENCE_HEAD in name for name in names) and MASKED_LM not in parts
    return [
        "The Model Garden has no model with next-sentence prediction alone: its "
        "tf.train.Checkpoint(encoder=…) restores the encoder."
    ] * alone
