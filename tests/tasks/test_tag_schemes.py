"""Tags to entities, in every scheme: equal to seqeval, whatever the tags are."""

import pytest
import seqeval.scheme
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from keras_bert.errors import InputError
from keras_bert.tag_schemes import SCHEMES, Entity, TagSet

# Letters as seqeval has them.
PEERS = {"M": "I", "W": "S"}
LETTERED = [name for name in SCHEMES if name not in ("types", "BIO")]
STRICT = ("IOB2", "IOE2", "IOBES", "BILOU")


def labels_of(name: str, types: str = "XY") -> list[str]:
    letters = sorted(SCHEMES[name].letters)
    return ["O", *(f"{letter}-{kind}" for kind in types for letter in letters)]


def tags_of(name: str) -> st.SearchStrategy:
    return st.lists(st.sampled_from(labels_of(name)), max_size=12)


def peer_tags(tags: list[str], name: str) -> list[str]:
    """Returns tags with letters that seqeval's default mode knows."""
    others = PEERS | ({"L": "E", "U": "S"} if name == "BILOU" else {})
    return [others.get(tag[0], tag[0]) + tag[1:] for tag in tags]


@settings(deadline=None, max_examples=120)
@given(st.sampled_from(LETTERED), st.data())
def test_entities_are_those_of_seqeval(name, data):
    tags = data.draw(tags_of(name))
    found = TagSet(labels_of(name)).entities(tags)
    assert [tuple(entity) for entity in found] == get_entities(peer_tags(tags, name))


@settings(deadline=None, max_examples=120)
@given(st.sampled_from(STRICT), st.data())
def test_strictly_only_what_the_scheme_writes_is_an_entity(name, data):
    tags = data.draw(tags_of(name))
    found = TagSet(labels_of(name), [["B-X"]]).entities(tags, strict=True)
    peer = seqeval.scheme.Tokens(tags, getattr(seqeval.scheme, name)).entities
    assert found == [Entity(e.tag, e.start, e.end - 1) for e in peer]


ENTITIES = st.lists(st.tuples(st.sampled_from("OXY"), st.integers(1, 4)), max_size=5)


@settings(deadline=None, max_examples=120)
@given(st.sampled_from(LETTERED), ENTITIES)
def test_entities_come_back_from_their_tags(name, pieces):
    entities, count = [], 0
    for kind, length in pieces:
        if kind != "O":
            entities.append(Entity(kind, count, count + length - 1))
        count += length
    tagset = TagSet(labels_of(name))
    tagset.scheme = SCHEMES[name]
    tags = tagset.tags(entities, count)
    assert tagset.entities(tags) == tagset.entities(tags, strict=True) == entities
    assert TagSet(labels_of(name), [tags]).irregular([tags]) == 0
    # A scheme that is told by sequences reads them regularly.


# === Recognition ===


@pytest.mark.parametrize(
    ("labels", "name", "types"),
    [
        ("O B-PER I-PER B-creative-work I-creative-work", "BIO", "PER creative-work"),
        *(("O I-PER", "BIO", "PER"), ("O B-PER", "BIO", "PER")),
        *(("O I-X E-X", "IOE2", "X"), ("O B-X I-X E-X S-X", "IOBES", "X")),
        *(
            ("O B-X I-X S-X [PAD]", "BIOS", "X"),
            ("B-X I-X X [CLS] [SEP] O", "BIO", "X"),
        ),
        *(
            ("B M E S", "BMES", "_"),
            ("B I", "BIO", "_"),
            ("O B- I-", "BIO", "_"),
            ("B-X M-X W-X E-X", "BMEWO", "X"),
        ),
        *(("B_X_1 I_X_1 O", "BIO", "X_1"), ("X-B X-I X-S X-E O", "IOBES", "X")),
        *(("b-per i-per O", "BIO", "per"), ("O B-X I-X L-X U-X", "BILOU", "X")),
        *(("PER LOC O", "types", "LOC PER"), ("NOUN VERB X", "types", "NOUN VERB X")),
        *(("O e-mail S", "types", "S e-mail"), ("LABEL_0 LABEL_1", "types", None)),
        *(("O", "types", ""), ("", "types", "")),
    ],
)
def test_a_scheme_is_told_by_its_labels(labels, name, types):
    found = TagSet(labels.split())
    assert found.scheme.name == name
    assert found.types == (labels if types is None else types).split()


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        ("O B-X M-X I-X E-X", "'B-X', 'E-X', 'I-X', 'M-X'"),
        ("O B-X E-X U-X", "'B-X', 'E-X', 'U-X'"),
        ("O B-X I-X LOC", "'B-X', 'LOC'"),
        ("O B-X I-X B_Y", "'B-X', 'B_Y'"),
    ],
)
def test_labels_of_several_schemes_are_refused(labels, named):
    with pytest.raises(InputError, match="of one tagging scheme") as error:
        TagSet(labels.split())
    assert f"Received together: {named}." in str(error.value)


@pytest.mark.parametrize(
    ("sequences", "name"),
    [
        (["I-X I-X O", "I-X B-X I-X"], "IOB1"),
        (["B-X I-X O", "B-X B-X I-X"], "IOB2"),
        (["O O"], "BIO"),
        (["B-X I-X", "B-Y I-Y", "O I-X"], "IOB2"),  # with one error
    ],
)
def test_iob1_and_iob2_are_told_by_sequences(sequences, name):
    sequences = [tags.split() for tags in sequences]
    found = TagSet(["O", "B-X", "I-X", "B-Y", "I-Y"], sequences)
    assert found.scheme.name == name
    assert found.irregular(sequences) == sum("O I-X" in " ".join(t) for t in sequences)


def test_words_without_tags_belong_to_the_entity_around_them():
    found = TagSet(["O", *(f"{letter}-X" for letter in "BMES")])
    tags = found.filled(["B-X", "E-X", "S-X"], [0, 2, 4], 6)
    assert tags == ["B-X", "M-X", "E-X", "O", "S-X", "O"]
    kinds = TagSet(["NOUN", "VERB"])
    tags = kinds.filled(["NOUN", "NOUN", "VERB"], [0, 2, 4], 5)
    assert tags == ["NOUN", "NOUN", "NOUN", "O", "VERB"]
    assert kinds.entities(tags) == [Entity("NOUN", 0, 2), Entity("VERB", 4, 4)]


def test_unknown_tags_and_missing_labels_are_named():
    found = TagSet(["O", "B-X"])
    with pytest.raises(InputError, match="Received: 'I-X'"):
        found.entities(["B-X", "I-X"])
    with pytest.raises(InputError, match="a label for I of 'X' among O, B-X"):
        found.tags([Entity("X", 0, 1)], 2)
