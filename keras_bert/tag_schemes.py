"""Tagging schemes: how the tags of words say where entities begin and end.

In all of them an entity goes on from one word to the next if both have its type, the
tag of the later one does not begin an entity (B, S), and that of the earlier one does
not end one (E, S). That is the rule of conlleval, and reads every scheme, correct or
not; the schemes differ in which letters they write where.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from keras_bert.errors import InputError

OUTSIDE = "O"
UNTYPED = "_"  # the type of B, I, O alone, which mark words of Chinese
# Labels that some published models have for tokens that are no words.
_SPECIAL = {OUTSIDE, "[CLS]", "[SEP]", "[PAD]", "PAD", "<PAD>", "<pad>"}
_CONTINUED = "X"  # a type of its own in sets without letters


class Entity(NamedTuple):
    """Consecutive words of one type.

    Attributes:
        type: what it is, as "PER".
        first: index of its first word.
        last: index of its last word.
    """

    type: str
    first: int
    last: int


class TagScheme(NamedTuple):
    """Which letters a scheme writes.

    Attributes:
        name: of the scheme.
        first: for the first word of several.
        inner: for those between.
        last: for the last word of several.
        only: for an entity of one word.
        adjacent: instead of the first letter, directly after an entity of the same
            type; "" if that makes no difference.
    """

    name: str
    first: str
    inner: str
    last: str
    only: str
    adjacent: str = ""

    @property
    def letters(self) -> set[str]:
        """All letters of the scheme."""
        return set(self[1:]) - {""}

    def written(self, entity: Entity, before: Entity | None) -> list[str]:
        """Returns the letters of an entity.

        Args:
            entity: the entity.
            before: the one before it in the text.

        Example:
            >>> SCHEMES["IOBES"].written(Entity("PER", 4, 6), None)
            ['B', 'I', 'E']
        """
        count = entity.last - entity.first + 1
        inner = [self.inner] * (count - 2)
        letters = [self.first, *inner, self.last] if count > 1 else [self.only]
        end = (entity.type, entity.first - 1)
        if self.adjacent and before and (before.type, before.last) == end:
            letters[0] = self.adjacent
        return letters


# The first that has all letters of a label set is taken. "BIO" is IOB2, or IOB1, in
# which B stands only between neighbours of one type: labels alone do not tell which.
SCHEMES = {
    scheme.name: scheme
    for scheme in (
        TagScheme("types", "", "", "", ""),
        TagScheme("BIO", *"BIIB"),
        TagScheme("IOB2", *"BIIB"),
        TagScheme("IOB1", "I", "I", "I", "I", "B"),
        TagScheme("IOE2", *"IIEE"),
        TagScheme("BIOS", *"BIIS"),
        TagScheme("IOBES", *"BIES"),
        TagScheme("BMES", *"BMES"),
        TagScheme("BILOU", *"BILU"),
        TagScheme("BMEWO", *"BMEW"),
    )
}
_BEGIN, _END = set("BSUW"), set("ESULW")
# How labels are written: B-PER, B_PER, PER-B, letters alone, and b-per.
_LETTER = "(?P<letter>[BIMESLUW])"
_FORMS = tuple(
    re.compile(form, re.DOTALL)
    for form in (
        f"{_LETTER}-(?P<type>.*)",
        f"{_LETTER}_(?P<type>.+)",
        f"(?P<type>.+)[-_]{_LETTER}",
        f"{_LETTER}(?P<type>)",
        "(?P<letter>[bimesluw])[-_](?P<type>.+)",
    )
)


class Tag(NamedTuple):
    """The meaning of a label.

    Attributes:
        letter: "" for types without letters.
        type: None outside of entities.
    """

    letter: str
    type: str | None

    @property
    def begins(self) -> bool:
        """Whether it always begins an entity."""
        return self.letter in _BEGIN

    @property
    def ends(self) -> bool:
        """Whether it always ends one."""
        return self.letter in _END


_OUTSIDE = Tag("", None)


class TagSet:
    """The labels of a model or a file, and the scheme that they are of.

    Args:
        labels: the labels; in their order, if they are a model's.
        sequences: tags of sentences, which tell IOB1 from IOB2.

    Attributes:
        labels: as given.
        scheme: "types" if labels are types without letters.
        types: of entities, sorted.
        type_of: index of the type of each label, -1 outside of entities.
        begins: whether each label always begins an entity.
        ends: whether it always ends one.

    Raises:
        InputError: the labels are of no scheme, or of several.

    Example:
        >>> tags = TagSet(["O", "B-LOC", "M-LOC", "E-LOC", "S-LOC"])
        >>> tags.scheme.name, tags.entities(["B-LOC", "M-LOC", "E-LOC", "O"])
        ('BMES', [Entity(type='LOC', first=0, last=2)])
    """

    def __init__(
        self, labels: Iterable[str], sequences: Iterable[Sequence[str]] = ()
    ) -> None:
        self.labels = tuple(labels)
        found = _parsed(dict.fromkeys(self.labels))
        meanings = [found[label] for label in self.labels]
        self.types = sorted({tag.type for tag in meanings if tag.type is not None})
        index: dict[str | None, int] = {t: place for place, t in enumerate(self.types)}
        self.type_of = [index.get(tag.type, -1) for tag in meanings]
        self.begins = [tag.begins for tag in meanings]
        self.ends = [tag.ends for tag in meanings]
        self._meaning_of = {OUTSIDE: _OUTSIDE, **found}
        self._label_of = {tag: label for label, tag in reversed(found.items())}
        self.scheme = _scheme(found)
        if self.scheme.name == "BIO":
            self.scheme = self._told_by(sequences)

    def __str__(self) -> str:
        name = self.scheme.name
        return {"BIO": "BIO (IOB2 or IOB1)", "types": "types without letters"}.get(
            name, name
        )

    def entities(self, tags: Sequence[str], *, strict: bool = False) -> list[Entity]:
        """Returns the entities of a sentence, in order.

        Args:
            tags: the labels of its words.
            strict: leave out entities whose letters are not those that the scheme
                writes, such as one that begins with I in IOB2.

        Raises:
            InputError: a tag is not among the labels.
        """
        meanings = [self._meaning(tag) for tag in tags]
        found = _entities(meanings)
        if not strict:
            return found
        return [
            entity
            for entity, before in zip(found, [None, *found], strict=False)
            if self.scheme.written(entity, before)
            == [tag.letter for tag in meanings[entity.first : entity.last + 1]]
        ]

    def tags(self, entities: Iterable[Entity], count: int) -> list[str]:
        """Returns the labels of a sentence with these entities.

        Args:
            entities: in order, without overlap.
            count: words of the sentence.

        Raises:
            InputError: the scheme's label for a word is not among the labels.
        """
        tags, before = [self._label(_OUTSIDE)] * count, None
        for entity in entities:
            for place, letter in enumerate(self.scheme.written(entity, before)):
                tags[entity.first + place] = self._label(Tag(letter, entity.type))
            before = entity
        return tags

    def filled(
        self, tags: Sequence[str], places: Sequence[int], count: int
    ) -> list[str]:
        """Returns the tags of all words of a sentence, of those of some.

        Args:
            tags: known ones, in order.
            places: indices of their words.
            count: words of the sentence. Those without a tag belong to an entity that
                goes on behind them, or to none.

        Example:
            >>> TagSet(["O", "B-X", "I-X"]).filled(["B-X", "I-X"], [1, 3], 5)
            ['O', 'B-X', 'I-X', 'I-X', 'O']
        """
        found = [OUTSIDE] * count
        for entity in self.entities(tags):
            span = range(places[entity.first], places[entity.last])
            inner = self._label_of.get(Tag(self.scheme.inner, entity.type), OUTSIDE)
            for place in span:
                found[place] = inner
        for place, tag in zip(places, tags, strict=True):
            found[place] = tag
        return found

    def irregular(self, sequences: Iterable[Sequence[str]]) -> int:
        """Returns how many entities are not written as the scheme writes them."""
        return sum(
            len(self.entities(tags)) - len(self.entities(tags, strict=True))
            for tags in sequences
        )

    def _meaning(self, tag: str) -> Tag:
        if tag not in self._meaning_of:
            raise InputError(
                f"Expected tags among {', '.join(self.labels)}. Received: {tag!r}."
            )
        return self._meaning_of[tag]

    def _label(self, tag: Tag) -> str:
        if tag == _OUTSIDE:
            return OUTSIDE
        if tag not in self._label_of:
            raise InputError(
                f"Expected a label for {tag.letter or 'words'} of {tag.type!r} among "
                f"{', '.join(self.labels)}. Received: none."
            )
        return self._label_of[tag]

    def _told_by(self, sequences: Iterable[Sequence[str]]) -> TagScheme:
        """Returns the one of IOB2 and IOB1 that more of the entities are written in."""
        sequences, counts = list(sequences), {}
        for name in ("IOB2", "IOB1"):
            self.scheme = SCHEMES[name]
            counts[name] = self.irregular(sequences)
        if counts["IOB2"] == counts["IOB1"]:
            return SCHEMES["BIO"]
        return SCHEMES[min(counts, key=counts.__getitem__)]


def _entities(tags: Iterable[Tag]) -> list[Entity]:
    found: list[Entity] = []
    before = _OUTSIDE
    for place, tag in enumerate(tags):
        if tag.type is None:
            pass
        elif tag.type == before.type and not tag.begins and not before.ends:
            found[-1] = found[-1]._replace(last=place)
        else:
            found.append(Entity(tag.type, place, place))
        before = tag
    return found


def _parsed(labels: Iterable[str]) -> dict[str, Tag]:
    """Returns the meanings of labels."""
    labels = list(dict.fromkeys(labels))
    words = [label for label in labels if label not in {*_SPECIAL, _CONTINUED}]
    for form in _FORMS:
        found = {label: form.fullmatch(label) for label in words}
        letters = {_tag(match).letter for match in found.values() if match}
        if words and all(found.values()) and (form is _FORMS[0] or "B" in letters):
            outside = dict.fromkeys(labels, _OUTSIDE)
            return outside | {x: _tag(match) for x, match in found.items() if match}
    if lettered := [label for label in words if _FORMS[0].fullmatch(label)]:
        others = [label for label in words if label not in lettered]
        raise _mixture([lettered[0], *others])
    return {x: _OUTSIDE if x in _SPECIAL else Tag("", x) for x in labels}


def _tag(match: re.Match[str]) -> Tag:
    return Tag(match["letter"].upper(), match["type"] or UNTYPED)


def _scheme(meanings: Mapping[str, Tag]) -> TagScheme:
    example = {tag.letter: label for label, tag in meanings.items() if tag.type}
    for scheme in SCHEMES.values():
        if example.keys() <= scheme.letters | {scheme.inner}:
            return scheme
    raise _mixture([example[letter] for letter in sorted(example)])


def _mixture(labels: Sequence[str]) -> InputError:
    known = [
        f"{name} ({', '.join(sorted(scheme.letters))})"
        for name, scheme in SCHEMES.items()
        if scheme.letters and name != "BIO"
    ]
    shown = ", ".join(map(repr, labels[:8]))
    return InputError(
        f"Expected labels of one tagging scheme, {', '.join(known)}, each a letter and "
        f"a type as B-PER, or types without letters. Received together: {shown}. "
        "Give every label a name of one scheme (labels=, --labels)."
    )
