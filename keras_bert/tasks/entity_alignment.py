"""Which annotated entities come back from the tokens of their text, and why not."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from keras_bert.tag_schemes import TagSet
from keras_bert.tasks.alignment import Alignment
from keras_bert.tasks.conll_files import Mark, Sentence


class MisalignedEntity(NamedTuple):
    """An entity that its tokens do not give back.

    Attributes:
        line: of its sentence in the file, 0 if unknown.
        text: the entity.
        reason: why.
    """

    line: int
    text: str
    reason: str


def misaligned_entities(
    sentences: Sequence[Sentence], tokenizer: Any
) -> list[MisalignedEntity]:
    """Returns the annotated entities that cannot be predicted exactly, and why.

    Args:
        sentences: with tags, whose words are joined by spaces; or texts with marks.
        tokenizer: any that returns offsets.

    Example:
        >>> tokenizer = keras_bert.BertTokenizer(
        ...     ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "golden"])
        >>> sentence = Sentence(text="golden", marks=(Mark("X", 0, 4),), lines=(1,))
        >>> misaligned_entities([sentence], tokenizer)[0].reason
        "ends inside the token 'golden'"
    """
    tags = TagSet({tag: 0 for s in sentences for tag in s.tags or ()})
    found = []
    for sentence in sentences:
        marks = list(_marks(sentence, tags))
        text = " ".join(sentence.words) if sentence.text is None else sentence.text
        alignment = Alignment.of(tokenizer, text) if marks else None
        for mark in marks:
            if reason := alignment.mismatch(mark.start, mark.end):
                line = sentence.lines[0] if sentence.lines else 0
                entity = text[mark.start : mark.end]
                found.append(MisalignedEntity(line, entity, reason))
    return found


def _marks(sentence: Sentence, tags: TagSet) -> Iterator[Mark]:
    """Yields the entities of a sentence by the characters of its words, joined."""
    if sentence.marks is not None:
        yield from sentence.marks
        return
    starts = list(accumulate((len(word) + 1 for word in sentence.words), initial=0))
    for kind, first, last in tags.entities(sentence.tags or ()):
        yield Mark(kind, starts[first], starts[last] + len(sentence.words[last]))
