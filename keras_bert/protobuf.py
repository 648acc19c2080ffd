"""Protocol buffers without generated code: message classes from a table, and varints.

The messages of TensorFlow and TF Serving come with packages whose import loads all of
TensorFlow, which takes seconds. What is stored or sent depends on the numbers and types
of fields alone, so a table of these is enough.

Source: protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Mapping, Sequence

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PROTO = descriptor_pb2.FieldDescriptorProto
LONGEST_VARINT = 10  # bytes, of 64 bits


def message_classes(
    messages: Mapping[str, Sequence[tuple[int, str, str]]],
) -> dict[str, type]:
    """Makes the classes of messages.

    Args:
        messages: of each message its fields as number, name and type. A star before
            the type repeats the field; a type may be a message of this table. An
            enumeration is an int32, and a map is repeated pairs.

    Returns:
        The classes by name, of `google.protobuf`.

    Example:
        >>> classes = message_classes({"Dim": [(1, "size", "int64")]})
        >>> classes["Dim"](size=300).SerializeToString()
        b'\\x08\\xac\\x02'
    """
    file = descriptor_pb2.FileDescriptorProto(name="table.proto", syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for number, field, kind in fields:
            message.field.append(_field(number, field, kind, messages))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        for name in messages
    }


def _field(
    number: int, name: str, kind: str, messages: Mapping[str, object]
) -> descriptor_pb2.FieldDescriptorProto:
    label = _PROTO.LABEL_REPEATED if kind[0] == "*" else _PROTO.LABEL_OPTIONAL
    kind = kind.removeprefix("*")
    field = _PROTO(name=name, number=number, label=label)
    if kind in messages:
        field.type, field.type_name = _PROTO.TYPE_MESSAGE, f".{kind}"
    else:
        field.type = getattr(_PROTO, f"TYPE_{kind.upper()}")
    return field


def varint(value: int) -> bytes:
    """Encodes a number that is not negative in as many bytes as it needs.

    Example:
        >>> varint(300)
        b'\\xac\\x02'
    """
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_varint(data: bytes, start: int) -> tuple[int, int]:
    """Decodes a number; returns it and the position after it.

    Args:
        data: what holds it.
        start: its first byte.

    Raises:
        ValueError: the data ends inside it, or it is too long.

    Example:
        >>> read_varint(b"\\xac\\x02", 0)
        (300, 2)
    """
    value = 0
    for at in range(start, min(start + LONGEST_VARINT, len(data))):
        byte = data[at]
        value |= (byte & 127) << 7 * (at - start)
        if byte < 128:
            return value, at + 1
    raise ValueError("an incomplete varint")
