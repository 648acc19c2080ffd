"""Messages from a table, and varints: as Protocol Buffers encodes them."""

import pytest
from google.protobuf import wrappers_pb2
from hypothesis import given
from hypothesis import strategies as st

from keras_bert.protobuf import message_classes, read_varint, varint


@given(value=st.integers(0, 2**64 - 1), before=st.binary(max_size=3))
def test_varints_are_those_of_protocol_buffers(value, before):
    encoded = wrappers_pb2.UInt64Value(value=value).SerializeToString()[1:] or b"\0"
    assert varint(value) == encoded
    data = before + encoded + b"\xff"
    assert read_varint(data, len(before)) == (value, len(data) - 1)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 11])
def test_an_incomplete_varint(data):
    with pytest.raises(ValueError, match="incomplete varint"):
        read_varint(data, 0)


def test_messages_repeat_and_nest():
    classes = message_classes(
        {
            "Dim": [(1, "size", "int64"), (2, "name", "string")],
            "Shape": [(2, "dim", "*Dim"), (3, "unknown_rank", "bool")],
        }
    )
    shape = classes["Shape"](dim=[{"size": 300}, {"name": "é"}], unknown_rank=True)
    encoded = shape.SerializeToString()
    assert encoded == b"\x12\x03\x08\xac\x02\x12\x04\x12\x02\xc3\xa9\x18\x01"
    assert classes["Shape"].FromString(encoded) == shape
