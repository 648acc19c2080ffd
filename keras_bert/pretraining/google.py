"""Google's own pretraining data, draw by draw: equal seeds give equal records.

Everything depends on the order of the draws, so the rules are those of the original,
its weaknesses included: the corpus is held in memory, the random second text may come
from the same document, a random word may be a special token, and the pieces of a whole
word are masked, replaced or kept independently.

Source: google-research/bert, create_pretraining_data.py.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from keras_bert.tokenization import BertTokenizer

Sentence = list[int]
Document = list[Sentence]


class GoogleSettings(NamedTuple):
    """The flags of the original that affect the instances."""

    max_seq_length: int = 128
    max_predictions_per_seq: int = 20
    masked_lm_prob: float = 0.15
    short_seq_prob: float = 0.1
    dupe_factor: int = 10
    do_whole_word_mask: bool = False


class Instance(NamedTuple):
    """One example: the ids of a pair before and after masking."""

    input_ids: list[int]
    masked_ids: list[int]
    first_length: int
    positions: list[int]
    is_random_next: bool


def instances(
    lines: Iterable[str],
    tokenizer: BertTokenizer,
    settings: GoogleSettings,
    rng: random.Random,
) -> list[Instance]:
    """Returns all instances of a corpus in the original's order.

    Args:
        lines: the lines of all input files, in order.
        tokenizer: the tokenizer.
        settings: see `GoogleSettings`.
        rng: `random.Random(random_seed)`.
    """
    documents = _documents(lines, tokenizer)
    rng.shuffle(documents)
    maker = _Maker(documents, tokenizer, settings, rng)
    made = [
        instance
        for _ in range(settings.dupe_factor)
        for index in range(len(documents))
        for instance in maker.of_document(index)
    ]
    rng.shuffle(made)
    return made


def columns(
    made: Sequence[Instance], settings: GoogleSettings
) -> dict[str, np.ndarray]:
    """Returns instances as the fields of records, one row each."""
    seq, predictions = settings.max_seq_length, settings.max_predictions_per_seq
    lengths = np.array([len(one.input_ids) for one in made])[:, None]
    firsts = np.array([one.first_length for one in made])[:, None]
    chosen = np.array([len(one.positions) for one in made])[:, None]
    real = np.arange(seq) < lengths
    labels = [[one.input_ids[place] for place in one.positions] for one in made]
    return {
        "input_ids": _padded([one.masked_ids for one in made], seq),
        "attention_mask": real.astype(np.int32),
        "token_type_ids": (real & (np.arange(seq) >= firsts)).astype(np.int32),
        "masked_lm_positions": _padded([one.positions for one in made], predictions),
        "masked_lm_ids": _padded(labels, predictions),
        "masked_lm_weights": (np.arange(predictions) < chosen).astype(np.float32),
        "next_sentence_labels": np.array(
            [one.is_random_next for one in made], np.int32
        ),
    }


def _padded(rows: Sequence[Sequence[int]], width: int) -> np.ndarray:
    return np.array([[*row, *[0] * (width - len(row))] for row in rows], np.int32)


def _documents(lines: Iterable[str], tokenizer: BertTokenizer) -> list[Document]:
    found: list[Document] = [[]]
    for line in map(str.strip, lines):
        if not line:
            found.append([])
        elif ids := tokenizer.text_to_ids(line):
            found[-1].append(ids)
    return [document for document in found if document]


class _Maker:
    """Makes the instances of documents with one generator."""

    def __init__(
        self,
        documents: list[Document],
        tokenizer: BertTokenizer,
        settings: GoogleSettings,
        rng: random.Random,
    ) -> None:
        self.documents = documents
        self.settings = settings
        self.rng = rng
        self.room = settings.max_seq_length - 3
        self.cls_id, self.sep_id = tokenizer.cls_token_id, tokenizer.sep_token_id
        self.mask_id = tokenizer.mask_token_id
        self.word_ids = list(tokenizer.vocab.values())
        whole = settings.do_whole_word_mask
        pieces = enumerate(tokenizer.tokens) if whole else ()
        self.continues = {i for i, token in pieces if token.startswith("##")}

    def of_document(self, index: int) -> Iterator[Instance]:
        document, rng = self.documents[index], self.rng
        target = self.room
        if rng.random() < self.settings.short_seq_prob:
            target = rng.randint(2, self.room)
        first = 0
        while first < len(document):
            end = self._chunk_end(document, first, target)
            cut = first + (rng.randint(1, end - first - 1) if end - first > 1 else 1)
            text_a = _flat(document[first:cut])
            is_random = end - first == 1 or rng.random() < 0.5
            if is_random:
                text_b = self._random_text(index, target - len(text_a))
                first = cut
            else:
                text_b = _flat(document[cut:end])
                first = end
            self._truncate(text_a, text_b)
            yield self._instance(text_a, text_b, is_random)

    def _chunk_end(self, document: Document, first: int, target: int) -> int:
        end, length = first, 0
        while end < len(document) and length < target:
            length += len(document[end])
            end += 1
        return end

    def _random_text(self, index: int, target: int) -> Sentence:
        rng = self.rng
        for _ in range(10):
            other = rng.randint(0, len(self.documents) - 1)
            if other != index:
                break
        document = self.documents[other]
        text: Sentence = []
        for sentence in document[rng.randint(0, len(document) - 1) :]:
            text += sentence
            if len(text) >= target:
                break
        return text

    def _truncate(self, text_a: Sentence, text_b: Sentence) -> None:
        while len(text_a) + len(text_b) > self.room:
            longer = text_a if len(text_a) > len(text_b) else text_b
            del longer[0 if self.rng.random() < 0.5 else -1]

    def _instance(
        self, text_a: Sentence, text_b: Sentence, is_random: bool
    ) -> Instance:
        ids = [self.cls_id, *text_a, self.sep_id, *text_b, self.sep_id]
        words = self._words(ids)
        self.rng.shuffle(words)
        masked, positions = list(ids), []
        probability = self.settings.masked_lm_prob
        budget = max(1, int(round(len(ids) * probability)))  # noqa: RUF046
        budget = min(self.settings.max_predictions_per_seq, budget)
        for word in words:
            if len(positions) >= budget:
                break
            if len(positions) + len(word) <= budget:
                positions += word
                for position in word:
                    masked[position] = self._masked(ids[position])
        return Instance(ids, masked, len(text_a) + 2, sorted(positions), is_random)

    def _words(self, ids: Sentence) -> list[list[int]]:
        words: list[list[int]] = []
        for position, token in enumerate(ids):
            if token in (self.cls_id, self.sep_id):
                continue
            if words and token in self.continues:
                words[-1].append(position)
            else:
                words.append([position])
        return words

    def _masked(self, token: int) -> int:
        if self.rng.random() < 0.8:
            return self.mask_id
        if self.rng.random() < 0.5:
            return token
        return self.word_ids[self.rng.randint(0, len(self.word_ids) - 1)]


def _flat(sentences: Sequence[Sentence]) -> Sentence:
    return [token for sentence in sentences for token in sentence]
