"""Sentence objectives: which texts make a row, and what the model predicts about them.

A text is a span of a block's tokens, so an instance is a few numbers and many rows are
made at once. The random draws for a row are keyed by the document and the sentence it
begins with.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from keras_bert.pretraining.corpus import TokenizedBlock
from keras_bert.pretraining.hashed_random import mix, uniform
from keras_bert.pretraining.ranges import within
from keras_bert.pretraining.rows import Pieces

# Begin and end of the first and of the second text; label; sentence it begins with.
Piece = tuple[int, int, int, int, int, int]

# The draws for each sentence, in case a row begins with it: whether the row is short,
# how short, where it is cut, its label, another document and a sentence of that.
_SHORT, _LENGTH, _CUT, _LABEL, _DOCUMENT, _SENTENCE = range(6)


class Corpus(NamedTuple):
    """A block as Python numbers, which loops read faster.

    Attributes:
        bounds: where sentences begin in the tokens, and where the last one ends.
        documents: where documents begin in the sentences, and where the last one ends.
        drawn: for each sentence the draws for a row that begins with it.
        room: tokens per row without the special ones.
        short: probability that a row has a shorter, random target length.
    """

    bounds: list[int]
    documents: list[int]
    drawn: list[list[float]]
    room: int
    short: float

    def target(self, first: int) -> int:
        """Returns the target length of a row."""
        drawn = self.drawn[first]
        if drawn[_SHORT] >= self.short:
            return self.room
        return 2 + int(drawn[_LENGTH] * (self.room - 1))

    def end(self, first: int, size: int, last: int) -> int:
        """Returns the sentence that follows at least `size` tokens, or `last`."""
        return bisect_left(self.bounds, self.bounds[first] + size, first + 1, last)


def next_sentence(corpus: Corpus) -> Iterator[Piece]:
    """Pairs a text with the next one, or with a random one of another document.

    Sentences fill a row up to its target length, and a random cut makes two texts. In
    half of the pairs, and in those of one sentence, the second text is replaced by a
    random one, and the text it replaced is used again.

    Source: `create_instances_from_document` in google-research/bert,
    create_pretraining_data.py. Unlike there, every row draws its own target length, and
    the other document is never the same one.
    """
    bounds, documents, drawn = corpus.bounds, corpus.documents, corpus.drawn
    for document in range(len(documents) - 1):
        first, last = documents[document : document + 2]
        while first < last:
            target = corpus.target(first)
            end = corpus.end(first, target, last)
            cut = first + 1 + int(drawn[first][_CUT] * (end - first - 1))
            start, middle = bounds[first], bounds[cut]
            if cut < end and (drawn[first][_LABEL] >= 0.5 or len(documents) == 2):
                yield start, middle, middle, bounds[end], 0, first
                first = end
                continue
            if len(documents) > 2:
                size = max(1, target - (middle - start))
                yield start, middle, *_other(corpus, first, document, size), 1, first
            first = cut


def _other(corpus: Corpus, first: int, document: int, size: int) -> tuple[int, int]:
    """Draws a text of at least `size` tokens from another document."""
    drawn, documents = corpus.drawn[first], corpus.documents
    other = int(drawn[_DOCUMENT] * (len(documents) - 2))
    start, last = documents[other + (other >= document) :][:2]
    start += int(drawn[_SENTENCE] * (last - start))
    end = corpus.end(start, size, last)
    return corpus.bounds[start], corpus.bounds[end]


def sentence_order(corpus: Corpus) -> Iterator[Piece]:
    """Pairs neighboring texts, and swaps them in half of the pairs.

    A row of one sentence is cut within it; a single token makes no pair.

    Source: Lan et al. 2020, section 3.1.
    """
    bounds, documents, drawn = corpus.bounds, corpus.documents, corpus.drawn
    for first, last in pairwise(documents):
        while first < last:
            end = corpus.end(first, corpus.target(first), last)
            start, stop = bounds[first], bounds[end]
            places = (
                bounds[first : end + 1]
                if end - first > 1
                else [*range(start, stop + 1)]
            )
            middle = places[1 + int(drawn[first][_CUT] * (len(places) - 2))]
            if middle < stop and drawn[first][_LABEL] >= 0.5:
                yield start, middle, middle, stop, 0, first
            elif middle < stop:
                yield middle, stop, start, middle, 1, first
            first = end


def full_sentences(corpus: Corpus) -> Iterator[Piece]:
    """Makes single texts of as many sentences as fit, across documents.

    The last sentence of a document is the [SEP] after it.

    Source: Liu et al. 2019, section 4.2, FULL-SENTENCES.
    """
    bounds, first, last = corpus.bounds, 0, corpus.documents[-1]
    separators = {end - 1 for end in corpus.documents[1:]}
    while first < last:
        if first in separators:
            first += 1
            continue
        stop = bounds[first] + corpus.target(first)
        end = max(first + 1, bisect_right(bounds, stop, first + 1, last + 1) - 1)
        text_end = bounds[end - 1 if end - 1 in separators else end]
        yield bounds[first], text_end, text_end, text_end, 0, first
        first = end


class SentenceObjective(NamedTuple):
    """How rows are made of documents.

    Attributes:
        make: yields the pieces of a block.
        special_tokens: per row.
        labeled: whether pieces have a label to predict.
        joined: texts run across documents, with [SEP] between them.
    """

    make: Callable[[Corpus], Iterator[Piece]]
    special_tokens: int = 3
    labeled: bool = True
    joined: bool = False


OBJECTIVES = {
    "nsp": SentenceObjective(next_sentence),
    "sop": SentenceObjective(sentence_order),
    "none": SentenceObjective(
        full_sentences, special_tokens=2, labeled=False, joined=True
    ),
}


def pieces_of(
    block: TokenizedBlock,
    objective: SentenceObjective,
    keys: np.ndarray,
    room: int,
    short_seq_prob: float,
) -> Pieces:
    """Makes the pieces of a block for one pass over it.

    Args:
        block: the documents; see `joined` for objectives that need it.
        objective: one of `OBJECTIVES`.
        keys: uint64 `(documents,)`: for every random draw about a document.
        room: tokens per row without the special ones.
        short_seq_prob: probability that a row has a shorter, random target length.

    Returns:
        The pieces, none longer than a row.
    """
    sizes = np.diff(block.documents)  # sentences of each document
    sentence_keys = mix(np.repeat(keys, sizes), within(sizes))
    drawn = uniform(sentence_keys, "texts", 6).tolist()
    bounds, documents = block.sentences.tolist(), block.documents.tolist()
    made = list(objective.make(Corpus(bounds, documents, drawn, room, short_seq_prob)))
    table = np.array(made, np.int64).reshape(-1, 6)
    row_keys = sentence_keys[table[:, 5]]
    return Pieces(
        truncate(table[:, :4], room, row_keys), table[:, 4].astype(np.int32), row_keys
    )


def truncate(spans: np.ndarray, room: int, keys: np.ndarray) -> np.ndarray:
    """Shortens pairs to `room` tokens.

    The longer text loses tokens; of equally long ones the second does. How many are
    removed from the front and how many from the back is random, every split equally
    likely.

    Args:
        spans: int64 `(pieces, 4)`: begin and end of the first and second text.
        room: tokens that fit.
        keys: uint64 `(pieces,)`.

    Returns:
        int64 `(pieces, 4)`.

    Source: `truncate_seq_pair` in google-research/bert, create_pretraining_data.py,
    which tosses a coin for every token and so tends to keep the middle.
    """
    lengths = spans[:, 1::2] - spans[:, ::2]  # (pieces, 2)
    keep_b = np.minimum(lengths[:, 1], np.maximum(room // 2, room - lengths[:, 0]))
    keep_a = np.minimum(lengths[:, 0], room - keep_b)
    removed = lengths - np.stack([keep_a, keep_b], axis=1)
    front = (uniform(keys, "truncation", 2) * (removed + 1)).astype(np.int64)
    shortened = spans.copy()
    shortened[:, ::2] += front
    shortened[:, 1::2] -= removed - front
    return shortened


def joined(block: TokenizedBlock, sep_id: int, room: int) -> TokenizedBlock:
    """Appends [SEP] to every document, as a separate sentence.

    Sentences longer than a row are split.

    Args:
        block: the documents.
        sep_id: the id of [SEP].
        room: tokens per row without the special ones.
    """
    ends = block.sentences[block.documents[1:]]
    documents = np.arange(len(ends))
    shift = np.repeat(documents, np.diff(block.documents))  # [SEP]s before a sentence
    starts = block.sentences[:-1] + shift
    lengths = np.diff(block.sentences)
    long = lengths > room
    cuts = [
        np.arange(start + room, start + length, room)
        for start, length in zip(starts[long], lengths[long], strict=True)
    ]
    total = len(block.tokens) + len(ends)
    sentences = np.unique(np.concatenate([starts, ends + documents, *cuts, [total]]))
    return TokenizedBlock(
        np.insert(block.tokens, ends, sep_id).astype(np.int32),
        np.insert(block.continues, ends, False),
        sentences,
        np.append(0, np.searchsorted(sentences, ends + documents) + 1),
        block.keys,
    )
