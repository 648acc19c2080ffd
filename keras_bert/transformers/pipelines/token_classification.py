"""Labels of tokens, and entities: `pipeline("token-classification")`."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from keras_bert.errors import InputError
from keras_bert.transformers.pipelines import base
from keras_bert.transformers.pipelines.computation import softmax
from keras_bert.transformers.utils import Choice


class AggregationStrategy(Choice):
    """How tokens become entities."""

    NONE = "none"
    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"


class Token(NamedTuple):
    """A token of a text, or a word made of several.

    Attributes:
        word: its text.
        scores: a probability for each label.
        start, end: its characters in the text.
        index: its place in the row.
        continues: whether it belongs to the word of the token before.
    """

    word: str
    scores: np.ndarray
    start: int
    end: int
    index: int
    continues: bool


# The scores of a word, of those of its tokens.
WORD_SCORES: Mapping[str, Callable[[list[np.ndarray]], np.ndarray]] = {
    AggregationStrategy.FIRST: lambda scores: scores[0],
    AggregationStrategy.AVERAGE: lambda scores: np.nanmean(np.stack(scores), axis=0),
    AggregationStrategy.MAX: lambda scores: max(scores, key=np.max),
}
# Old spelling: the strategy if it is True, by whether the other one is.
_OLD = ("grouped_entities", "ignore_subwords")


@dataclass(frozen=True)
class Options(base.Options):
    """The options of `TokenClassificationPipeline`."""

    aggregation_strategy: AggregationStrategy = AggregationStrategy.NONE
    ignore_labels: Sequence[str] | None = None
    stride: int | None = None
    is_split_into_words: bool = False
    delimiter: str | None = None
    grouped_entities: bool | None = None
    ignore_subwords: bool | None = None

    def __post_init__(self) -> None:
        base.check_stride("stride", self.stride)
        strategy = self.aggregation_strategy or AggregationStrategy.NONE
        old = {name: getattr(self, name) for name in _OLD}
        if any(value is not None for value in old.values()):
            strategy = _of_old(*old.values())
            message = f"{', '.join(old)}: write aggregation_strategy={str(strategy)!r}."
            warnings.warn(message, UserWarning, stacklevel=5)
        strategy = AggregationStrategy(str(strategy).lower())
        object.__setattr__(self, "aggregation_strategy", strategy)

    @property
    def ignored(self) -> Sequence[str]:
        """The labels that are left out."""
        labels = "O" if self.ignore_labels is None else self.ignore_labels
        return [labels] if isinstance(labels, str) else labels


def _of_old(grouped: bool | None, whole_words: bool | None) -> AggregationStrategy:
    if not grouped:
        return AggregationStrategy.NONE
    return AggregationStrategy.FIRST if whole_words else AggregationStrategy.SIMPLE


class TokenClassificationPipeline(base.Pipeline):
    """Labels of tokens, or entities.

    Call arguments:
        inputs: texts; lists of words, with `is_split_into_words`.
        aggregation_strategy: "none" returns tokens; "simple" puts neighbours of one
            label together; "first", "average" and "max" give each word one label
            before, by its first token, all or the surest.
        ignore_labels: are left out; by default "O".
        stride: read a long text in several rows that have this many tokens in common;
            without it, what is too long is cut off.
        is_split_into_words: a text is a list of words.
        delimiter: is between the words in the text that `start` and `end` refer to;
            by default a space.

    Returns:
        Of each text a list of `{"entity", "score", "index", "word", "start", "end"}`;
        of entities, `{"entity_group", "score", "word", "start", "end"}`.
    """

    name = "token-classification"
    kinds = ("token_classification",)
    options_type = Options
    advice = "Give a stride."

    def __call__(self, inputs: Any, **options: Any) -> Any:
        words = options.get("is_split_into_words", False)
        one = words and not all(isinstance(text, list) for text in inputs)
        return super().__call__([inputs] if one else inputs, **options)

    predict = transform = __call__

    def prepare(self, item: Any, options: Options) -> list[base.Row]:
        words = options.is_split_into_words
        if not isinstance(item, list if words else str):
            expected = "a list of words" if words else "a text"
            raise InputError(f"Expected {expected}. {base.received(item)}")
        windows = {"return_overflowing_tokens": True, "stride": options.stride}
        return self.encode(
            item,
            truncation=True,
            max_length=self.longest,
            is_split_into_words=words,
            **({} if options.stride is None else windows),
        )

    def answer(
        self,
        item: Any,
        rows: Sequence[base.Row],
        outputs: Sequence[dict[str, np.ndarray]],
        options: Options,
    ) -> list[dict[str, Any]]:
        between = " " if options.delimiter is None else options.delimiter
        words = item if options.is_split_into_words else None
        text = between.join(words) if words else item
        starts = _starts(words, len(between)) if words else None
        found: list[dict[str, Any]] = []
        for row, output in zip(rows, outputs, strict=True):
            tokens = self._tokens(text, row, softmax(output["logits"]), starts)
            entities = self._entities(tokens, options.aggregation_strategy)
            found += [e for e in entities if _label(e) not in options.ignored]
        return found if len(rows) == 1 else without_overlaps(found)

    def _tokens(
        self,
        text: str,
        row: base.Row,
        scores: np.ndarray,
        starts: Sequence[int] | None,
    ) -> list[Token]:
        encoding = row.encoding
        tokens = []
        for index, special in enumerate(encoding.special_tokens_mask):
            if special:
                continue
            shift = starts[encoding.word_ids[index]] if starts else 0
            start, end = (place + shift for place in encoding.offsets[index])
            word = self.tokenizer.convert_ids_to_tokens(encoding.ids[index])
            continues = self._continues(word, text, start, end)
            if encoding.ids[index] == self.tokenizer.unk_token_id:
                word, continues = text[start:end], False
            tokens.append(Token(word, scores[index], start, end, index, continues))
        return tokens

    def _continues(self, word: str, text: str, start: int, end: int) -> bool:
        """Whether a token is not the first one of its word, as transformers tells."""
        model = self.tokenizer.backend_tokenizer.model
        if getattr(model, "continuing_subword_prefix", None):
            return len(word) != end - start
        return start > 0 and " " not in text[start - 1 : start + 1]

    def _entities(
        self, tokens: Sequence[Token], strategy: AggregationStrategy
    ) -> list[dict[str, Any]]:
        if strategy in WORD_SCORES:
            scores = WORD_SCORES[strategy]
            tokens = [self._word(group, scores) for group in _words(tokens)]
        labels = self.model.config.labels
        named = [(labels[token.scores.argmax()], token) for token in tokens]
        if strategy is AggregationStrategy.NONE:
            return [_of_token(label, token) for label, token in named]
        return [self._entity(group) for group in _neighbours(named)]

    def _word(self, tokens: Sequence[Token], scores: Callable) -> Token:
        return tokens[0]._replace(
            word=self._joined(tokens),
            scores=scores([token.scores for token in tokens]),
            end=tokens[-1].end,
        )

    def _entity(self, named: Sequence[tuple[str, Token]]) -> dict[str, Any]:
        tokens = [token for _, token in named]
        return {
            "entity_group": named[0][0].split("-", 1)[-1],
            "score": _score(np.nanmean([token.scores.max() for token in tokens])),
            "word": self._joined(tokens),
            "start": tokens[0].start,
            "end": tokens[-1].end,
        }

    def _joined(self, tokens: Sequence[Token]) -> str:
        return self.tokenizer.convert_tokens_to_string([t.word for t in tokens])


NerPipeline = TokenClassificationPipeline


def _starts(words: Sequence[str], between: int) -> list[int]:
    """Returns where words begin in the text that they are joined to."""
    return [0, *accumulate(len(word) + between for word in words)]


def _words(tokens: Iterable[Token]) -> list[list[Token]]:
    """Returns tokens by words."""
    groups: list[list[Token]] = []
    for token in tokens:
        if groups and token.continues:
            groups[-1].append(token)
        else:
            groups.append([token])
    return groups


def _neighbours(named: Iterable[tuple[str, Token]]) -> list[list[tuple[str, Token]]]:
    """Returns tokens, or words, by entities: "B-" begins one, and another label."""
    groups: list[list[tuple[str, Token]]] = []
    for label, token in named:
        same = groups and _kind(groups[-1][-1][0]) == _kind(label)
        if same and not label.startswith("B-"):
            groups[-1].append((label, token))
        else:
            groups.append([(label, token)])
    return groups


def _kind(label: str) -> str:
    return label[2:] if label.startswith(("B-", "I-")) else label


def _of_token(label: str, token: Token) -> dict[str, Any]:
    return {
        "entity": label,
        "score": _score(token.scores.max()),
        "index": token.index,
        "word": token.word,
        "start": token.start,
        "end": token.end,
    }


def _score(value: Any) -> np.float64:
    """Returns a Python float that has `item()` too, which scripts call."""
    return np.float64(value)


def _label(entity: Mapping[str, Any]) -> str:
    return entity.get("entity", entity.get("entity_group"))


def without_overlaps(entities: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns entities of which no two overlap, of those that do the longer.

    Args:
        entities: with `start`, `end` and `score`, which decides between equal lengths.
    """
    found: list[dict[str, Any]] = []
    for entity in sorted(entities, key=lambda each: each["start"]):
        if not found or entity["start"] >= found[-1]["end"]:
            found.append(entity)
        elif _weight(entity) > _weight(found[-1]):
            found[-1] = entity
    return found


def _weight(entity: Mapping[str, Any]) -> tuple[int, float]:
    return entity["end"] - entity["start"], entity["score"]
