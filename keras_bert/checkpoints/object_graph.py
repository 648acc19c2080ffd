"""The graph of objects in a TF2 checkpoint, read and written without TensorFlow.

`tf.train.Checkpoint` stores the tensors and also which object holds which, under what
attribute. A tensor's key is only the shortest of its paths, so the same weight has
another key in another program; its paths are the stable names.

Source: tensorflow/core/protobuf/trackable_object_graph.proto,
tensorflow/python/trackable/trackable_utils.py.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from keras_bert.checkpoints import bundle
from keras_bert.protobuf import message_classes

KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
VALUE = "VARIABLE_VALUE"
Message = message_classes(
    {
        "Child": [(1, "node_id", "int32"), (2, "local_name", "string")],
        "Attribute": [(1, "name", "string"), (3, "checkpoint_key", "string")],
        "Slot": [
            (1, "original_variable_node_id", "int32"),
            (2, "slot_name", "string"),
            (3, "slot_variable_node_id", "int32"),
        ],
        "Bool": [(1, "value", "bool")],
        "Node": [
            (1, "children", "*Child"),
            (2, "attributes", "*Attribute"),
            (3, "slot_variables", "*Slot"),
            (5, "has_checkpoint_values", "Bool"),
        ],
        "Graph": [(1, "nodes", "*Node")],
    }
)
_ESCAPED = {"..": ".", ".S": "/"}


def is_in(prefix: Path) -> bool:
    """Whether a TensorFlow checkpoint holds a graph of objects."""
    return KEY in bundle.names(prefix)


@dataclass
class Node:
    """An object.

    Args:
        children: numbers of the objects it holds, by attribute.
        key: where its value is stored, if it is a variable.
        slots: of an optimizer: number of the variable, name and number of the slot.
    """

    children: dict[str, int] = field(default_factory=dict)
    key: str | None = None
    slots: list[tuple[int, str, int]] = field(default_factory=list)


class ObjectGraph:
    """Objects, the first of which is the root, and paths between them.

    Args:
        nodes: the objects; by default, a root alone.

    Example:
        >>> graph = ObjectGraph()
        >>> _ = graph.add("model/dense/kernel", key="model/dense/kernel")
        >>> graph.link("dense", graph.walk(0, "model/dense"))
        >>> graph.nodes[ObjectGraph.decode(graph.encode()).walk(0, "dense/kernel")].key
        'model/dense/kernel'
    """

    def __init__(self, nodes: list[Node] | None = None):
        self.nodes = nodes or [Node()]

    # === Walking ===

    def walk(self, start: int, path: str) -> int | None:
        """Returns the number of the object at the end of a path, or None.

        Args:
            start: number of the first object.
            path: attributes joined by "/", with "/" and "." in them written as
                ".S" and ".." as in keys.
        """
        at: int | None = start
        for name in _split(path):
            if at is None:
                return None
            at = self.nodes[at].children.get(name)
        return at

    def having(self, *paths: str) -> Iterator[int]:
        """Yields the numbers of the objects that have all these paths."""
        for number in range(len(self.nodes)):
            if all(self.walk(number, path) is not None for path in paths):
                yield number

    def below(self, start: int) -> set[int]:
        """Returns the numbers of all objects that can be reached from one object."""
        found, waiting = {start}, [start]
        while waiting:
            children = set(self.nodes[waiting.pop()].children.values()) - found
            found |= children
            waiting += children
        return found

    # === Building ===

    def add(self, path: str, key: str | None = None) -> int:
        """Makes the objects along a path from the root; returns the last one's number.

        Args:
            path: attributes joined by "/".
            key: where the last one's value is stored.
        """
        at = 0
        for name in _split(path):
            if name not in self.nodes[at].children:
                self.nodes.append(Node())
                self.link_from(at, name, len(self.nodes) - 1)
            at = self.nodes[at].children[name]
        if key is not None:
            self.nodes[at].key = key
        return at

    def add_slot(self, optimizer: str, variable: int, name: str, key: str) -> None:
        """Makes an optimizer's slot, which belongs to a variable and has no path.

        Args:
            optimizer: path from the root.
            variable: number of the variable it belongs to.
            name: name of the slot.
            key: where its value is stored.
        """
        self.nodes.append(Node(key=key))
        slot = (variable, name, len(self.nodes) - 1)
        self.nodes[self.add(optimizer)].slots.append(slot)

    def link(self, path: str, target: int) -> None:
        """Gives an object another path from the root."""
        parent, _, name = path.rpartition("/")
        self.link_from(self.add(parent) if parent else 0, _unescape(name), target)

    def link_from(self, start: int, name: str, target: int) -> None:
        """Gives an object another attribute."""
        self.nodes[start].children[name] = target

    # === Bytes ===

    @classmethod
    def decode(cls, data: bytes) -> "ObjectGraph":
        """Reads a `TrackableObjectGraph`.

        Raises:
            ValueError: it is corrupt, or refers to objects it does not hold.
        """
        try:
            messages = Message["Graph"].FromString(data).nodes
        except DecodeError as error:
            raise ValueError(str(error)) from error
        graph = cls([_decode_node(message) for message in messages])
        numbers = {n for node in graph.nodes for n in _numbers(node)}
        if not numbers <= {*range(len(graph.nodes))}:
            raise ValueError("an object graph that refers to objects it does not hold")
        return graph

    def encode(self) -> bytes:
        """Writes a `TrackableObjectGraph`."""
        valued = self._valued()
        nodes = [_encode_node(node, i in valued) for i, node in enumerate(self.nodes)]
        return Message["Graph"](nodes=nodes).SerializeToString()

    def _valued(self) -> set[int]:
        """Returns the objects that are variables or lead to some."""
        valued = {n for n, node in enumerate(self.nodes) if node.key is not None}
        growing = True
        while growing:
            more = {
                number
                for number, node in enumerate(self.nodes)
                if number not in valued and valued & {*node.children.values()}
            }
            valued |= more
            growing = bool(more)
        return valued


def _split(path: str) -> list[str]:
    return [_unescape(name) for name in path.split("/")]


def _unescape(name: str) -> str:
    return re.sub(r"\.[.S]", lambda found: _ESCAPED[found[0]], name)


def _numbers(node: Node) -> list[int]:
    slots = [number for slot in node.slots for number in (slot[0], slot[2])]
    return [*node.children.values(), *slots]


def _decode_node(message: Any) -> Node:
    keys = {a.name: a.checkpoint_key for a in message.attributes}
    return Node(
        {child.local_name: child.node_id for child in message.children},
        keys.get(VALUE),
        [
            (s.original_variable_node_id, s.slot_name, s.slot_variable_node_id)
            for s in message.slot_variables
        ],
    )


def _encode_node(node: Node, valued: bool) -> Any:
    message = Message["Node"](has_checkpoint_values={"value": valued})
    for name, number in node.children.items():
        message.children.add(node_id=number, local_name=name)
    if node.key is not None:
        message.attributes.add(name=VALUE, checkpoint_key=node.key)
    for of, name, number in node.slots:
        message.slot_variables.add(
            original_variable_node_id=of, slot_name=name, slot_variable_node_id=number
        )
    return message
