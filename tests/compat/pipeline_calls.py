"""Calls of pipelines as public scripts make them; what each returns, in JSON."""

import copy
import zlib
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from tests.compat.tokenizer_calls import LONG, SHORT, TEXTS, VOCAB

SIZES = {
    "vocab_size": len(VOCAB),
    "hidden_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 5,
    "intermediate_size": 33,
    "max_position_embeddings": 40,
    "hidden_act": "gelu",
}
LONGEST = 32  # of the tokenizer
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "PER"]
# The class of a model without its family, and its labels, by task.
MODELS = {
    "text-classification": ("ForSequenceClassification", ["bad", "good", "so"]),
    "token-classification": ("ForTokenClassification", TAGS),
    "question-answering": ("ForQuestionAnswering", ["LABEL_0", "LABEL_1"]),
    "fill-mask": ("ForMaskedLM", ["LABEL_0", "LABEL_1"]),
    "feature-extraction": ("Model", ["LABEL_0", "LABEL_1"]),
    "zero-shot-classification": (
        "ForSequenceClassification",
        ["contradiction", "neutral", "ENTAILMENT"],
    ),
}
TIED = {
    "cls.predictions.decoder.bias": "cls.predictions.bias",
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
}


def fill(folder: Path) -> None:
    """Gives the weights of a saved model values that depend on their names alone."""
    from safetensors.numpy import load_file, save_file

    file = folder / "model.safetensors"
    tensors = {name: _values(name, x.shape) for name, x in load_file(file).items()}
    save_file(tensors, file, {"format": "pt"})


def _values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    name = TIED.get(name, name)
    rng = np.random.default_rng(zlib.crc32(name.removeprefix("bert.").encode()))
    values = 0.5 * rng.standard_normal(shape)
    values += name.endswith("LayerNorm.weight")
    return values.astype("float32")


NONE = MappingProxyType({})


class Call(NamedTuple):
    """A call of a pipeline, and how the pipeline is made."""

    name: str
    task: str
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = NONE
    made_with: Mapping[str, Any] = NONE
    config: Mapping[str, Any] = NONE
    streams: bool = False


MASKS = {
    "one": "The [MASK] sat.",
    "two": "The [MASK] sat on [MASK], cat",
    "chinese": "他明白[MASK]的 中cat",
    "accents": "Café [MASK] ÉLÈVE 😀",
    "lower": "the [mask] cat",
    "none": SHORT,
    "empty": "",
}
CONTEXT = "The cat sat on the mat, unaffable Café! He don't run: dog 他明白是 running."
QUESTIONS = {
    "plain": ("The dog?", CONTEXT),
    "lone": ("cat", "mat"),
    "chinese": ("他明?", "他明白是的 中cat 😀 dog 他明"),
    "long": ("Café runs?", " ".join([CONTEXT] * 4)),
    "accents": ("run", "Café ÉLÈVE naïve ﬁ ẞ e\u0301tude a\u200bb"),
    "upper": ("cat", "CAT cat Cat CAT dog Dog cat"),
    "spaces": ("  the   cat ", "   the  mat\n\non\tdog   "),
    "special": ("cat [SEP] dog", "cat [SEP] dog [MASK] mat on"),
    "no context": ("cat", ""),
    "no question": ("", "cat"),
    "long question": (LONG * 3, "cat"),
}


def calls() -> Iterator[Call]:
    """Yields every call, each under a name of its own."""
    for task, found in (
        ("text-classification", _text()),
        ("token-classification", _token()),
        ("question-answering", _question()),
        ("fill-mask", _mask()),
        ("feature-extraction", _feature()),
        ("zero-shot-classification", _zero()),
    ):
        for name, *values in found:
            parts = dict(zip(("args", "options", "made_with"), values, strict=False))
            more = values[3] if len(values) > 3 else {}
            yield Call(f"{task}: {name}", task, **parts, **more)


def _several() -> Iterator[tuple]:
    """Yields calls that every task of texts takes."""
    for name, text in TEXTS.items():
        yield name, (text,)
    texts = [SHORT, TEXTS["chinese"], "cat", TEXTS["emoji"]]
    yield "list", (texts,)
    yield "list of one", ([SHORT],)
    yield "workers", (texts,), {"num_workers": 0}
    yield "stream", (texts,), {}, {}, {"streams": True}
    yield "too long", (LONG * 3,)
    yield "a number", (3,)
    yield "no text", ([None],)


def _batches(**options: Any) -> Iterator[tuple]:
    texts = [SHORT, TEXTS["chinese"], "cat", TEXTS["emoji"]]
    yield "batches", (texts,), {**options, "batch_size": 3}
    yield "batches at first", (texts,), options, {"batch_size": 4}
    yield "unknown option", (SHORT,), {**options, "tok_p": 1}


def _text() -> Iterator[tuple]:
    yield from _several()
    yield from _batches()
    pair = {"text": SHORT, "text_pair": LONG}
    for name, inputs in {
        "pair": pair,
        "pairs": [pair, {"text": "cat", "text_pair": "dog"}],
        "one of a pair": {"text": SHORT},
        "old pair": [[["cat", "dog"]]],
        "two strings": [["cat", "dog"]],
        "string": LONG,
        "strings": [SHORT, LONG, "他"],
    }.items():
        yield name, (inputs,)
        for top_k in (1, 2, None):
            yield f"{name}, top_k {top_k}", (inputs,), {"top_k": top_k}
        yield f"{name}, made with top_k", (inputs,), {}, {"top_k": None}
    for every, inputs in product((True, False), (LONG, [LONG])):
        options = {"return_all_scores": every}
        kind = type(inputs).__name__
        yield f"all scores {every} of {kind}", (inputs,), options
        yield f"made with all scores {every} of {kind}", (inputs,), {}, options
        both = {**options, "top_k": 2}
        yield f"all scores {every}, top_k of {kind}", (inputs,), both
    for name in ("softmax", "sigmoid", "none", "NONE", "default"):
        options = {"function_to_apply": name, "top_k": None}
        yield f"function {name}", (LONG,), options
    for kind in ("regression", "multi_label_classification", None):
        config = {"config": {"problem_type": kind}}
        yield f"problem {kind}", (LONG,), {"top_k": None}, {}, config
    for options in (
        {"truncation": True},
        {"truncation": True, "max_length": 8},
        {"padding": True, "truncation": True},
        {"padding": "max_length", "max_length": 20, "truncation": True},
        {"add_special_tokens": False},
    ):
        yield f"tokenizer {options}", (LONG * 3,), options
        yield f"tokenizer of {options}", (LONG * 3,), {}, options
    long_pair = {"text": LONG * 3, "text_pair": LONG}
    for way in (True, "only_first", "only_second", False):
        yield f"truncation {way}", (long_pair,), {"truncation": way}


STRATEGIES = ("none", "simple", "first", "average", "max")


def _token() -> Iterator[tuple]:
    yield from _several()
    yield from _batches()
    texts = {**TEXTS, "context": CONTEXT, "combined": "e\u0301tude cats, unaffable  x"}
    for strategy, (name, text) in product(STRATEGIES, texts.items()):
        options = {"aggregation_strategy": strategy}
        yield f"{strategy} of {name}", (text,), options
    yield "strategy at first", (CONTEXT,), {}, {"aggregation_strategy": "SIMPLE"}
    yield "unknown strategy", (CONTEXT,), {"aggregation_strategy": "median"}
    for labels, strategy in product(([], ["PER"], ["O", "B-PER"]), STRATEGIES[:2]):
        options = {"ignore_labels": labels, "aggregation_strategy": strategy}
        yield f"ignore {labels} {strategy}", (CONTEXT,), options
    for grouped, whole in product((True, False, None), repeat=2):
        options = {"grouped_entities": grouped, "ignore_subwords": whole}
        yield f"old {grouped} {whole}", (CONTEXT,), {}, options
    long = " ".join([CONTEXT] * 4)
    for stride, strategy in product((0, 3, 10, 31, 40), STRATEGIES[1:]):
        options = {"stride": stride, "aggregation_strategy": strategy}
        yield f"stride {stride} {strategy}", (long,), options
    yield (
        "stride of several",
        ([long, "cat"],),
        {"stride": 4, "batch_size": 2},
        {"aggregation_strategy": "simple"},
    )
    words = ["The", "unaffable", "cats,", "sat", "他明", "Café"]
    for strategy in STRATEGIES:
        options = {"is_split_into_words": True, "aggregation_strategy": strategy}
        yield f"words {strategy}", (words,), options
        yield f"lists of words {strategy}", ([words, words[1:]],), options
        yield f"delimiter {strategy}", (words,), {**options, "delimiter": ""}
    yield "words unsaid", ([words],)


def _question() -> Iterator[tuple]:
    for name, (question, context) in QUESTIONS.items():
        both = {"question": question, "context": context}
        yield name, (), both
        yield f"no answer of {name}", (), {**both, "handle_impossible_answer": True}
    good = ("plain", "chinese", "long", "accents", "upper", "spaces", "special")
    for name in good:
        both = dict(zip(("question", "context"), QUESTIONS[name], strict=True))
        for changes in (
            {"top_k": 3},
            {"align_to_words": False},
            {"align_to_words": False, "top_k": 2},
            {"max_answer_len": 1},
            {"max_answer_len": 4, "top_k": 2},
            {"top_k": 2, "handle_impossible_answer": True},
            {"max_seq_len": 20, "doc_stride": 4, "top_k": 2},
            {"max_seq_len": 18},
            {"padding": "max_length", "top_k": 2},
        ):
            yield f"{name} {changes}", (), {**both, **changes}
    question, context = QUESTIONS["plain"]
    both = {"question": question, "context": context}
    for name, args in {
        "dict": (both,),
        "dicts": ([both, {"question": "cat", "context": LONG}],),
        "dicts of one": ([both],),
        "strings": (question, context),
        "two dicts": (both, both),
        "half a dict": ({"question": question},),
        "a string": (context,),
        "nothing": (),
    }.items():
        yield name, args
    yield "data", (), {"data": both}
    yield "X", (), {"X": [both, both]}
    yield "stream", ([both, both],), {}, {}, {"streams": True}
    yield "made with top_k", (both,), {}, {"top_k": 2}
    yield "topk", (), {**both, "topk": 2}
    yield "batches", ([both] * 3,), {"batch_size": 2}
    for questions, contexts in (
        ([question, "cat"], context),
        ([question, "cat"], [context, LONG]),
        ([question], [context]),
        ([question, "cat"], [context]),
        (question, None),
    ):
        options = {"question": questions, "context": contexts}
        yield f"{questions!r:.9} {contexts!r:.60}", (), options
    for name, value in (
        ("top_k", 0),
        ("max_answer_len", 0),
        ("doc_stride", 400),
        ("max_seq_len", 400),
        ("max_question_len", 2),
    ):
        yield f"{name} {value}", (), {**both, name: value}


def _mask() -> Iterator[tuple]:
    for name, text in MASKS.items():
        yield f"mask {name}", (text,)
        yield f"mask {name}, top_k", (text,), {"top_k": 2}
    texts = [MASKS["one"], MASKS["two"], MASKS["chinese"]]
    yield "masks", (texts,)
    yield "one of masks", ([MASKS["two"]],)
    yield "mask batches", (texts,), {"batch_size": 2, "top_k": 3}
    yield "mask stream", (texts,), {"top_k": 1}, {}, {"streams": True}
    yield "one without", ([MASKS["one"], SHORT],)
    for targets in ("cat", ["cat", "dog"], ["unaffable", "DOG"], ["他", "cat", "cat"]):
        yield f"targets {targets}", (MASKS["one"],), {"targets": targets}
        yield f"made with targets {targets}", (MASKS["one"],), {}, {"targets": targets}
    yield "targets of two", (MASKS["two"],), {"targets": ["cat", "dog"], "top_k": 1}
    yield "no targets", (MASKS["one"],), {"targets": []}
    yield "empty target", (MASKS["one"],), {"targets": ""}
    long = f"{MASKS['one']} {LONG * 3}"
    yield "mask too long", (long,)
    yield "mask cut", (long,), {"tokenizer_kwargs": {"truncation": True}}
    tokenizer = {"truncation": True, "max_length": 6}
    yield "mask cut away", (LONG + MASKS["one"],), {"tokenizer_kwargs": tokenizer}


def _feature() -> Iterator[tuple]:
    yield from _several()
    yield "truncation", (LONG * 3,), {"truncation": True}
    yield "made with truncation", (LONG * 3,), {}, {"truncation": True}
    cut = {"truncation": True, "max_length": 5}
    yield "kwargs", (LONG,), {"tokenize_kwargs": cut}
    yield "twice", (LONG,), {"truncation": True, "tokenize_kwargs": cut}
    padded = {"padding": "max_length", "max_length": 12, "truncation": True}
    yield "padded", (SHORT,), {"tokenize_kwargs": padded}


def _zero() -> Iterator[tuple]:
    labels = ["cat", "dog", "他明", "running mat"]
    options = {"candidate_labels": labels}
    for name, text in TEXTS.items():
        yield name, (text,), options
        yield f"several of {name}", (text,), {**options, "multi_label": True}
    for name, value in {
        "string": "cat, dog ,mat,",
        "one": ["cat"],
        "one string": "cat",
        "none": [],
    }.items():
        yield f"labels {name}", (LONG,), {"candidate_labels": value}
    yield "by position", (LONG, labels)
    yield "twice", (LONG, labels), options
    yield "no labels", (LONG,)
    yield "made with labels", (LONG,), {}, {**options, "multi_label": True}
    yield "list", ([LONG, SHORT, "cat"],), options
    yield "list of one", ([LONG],), options
    yield "batches", ([LONG, SHORT, "cat"],), {**options, "batch_size": 3}
    yield "stream", ([LONG, SHORT],), options, {}, {"streams": True}
    yield "long", (LONG * 3,), options
    for template in ("{} cat", "the {}.", "cat"):
        both = {**options, "hypothesis_template": template}
        yield f"template {template}", (LONG,), both
    long = {**options, "hypothesis_template": LONG + " {}"}
    yield "long template", (SHORT,), long
    yield "longer template", (SHORT,), {**long, "hypothesis_template": LONG * 3 + "{}"}


def in_json(value: Any) -> Any:
    """Returns a result with numbers as JSON has them."""
    if isinstance(value, dict):
        return {key: in_json(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [in_json(x) for x in value]
    return value.item() if hasattr(value, "item") else value


def answer(make: Any, call: Call, error: type[Exception] = Exception) -> Any:
    """Returns what a call returns, or that it is an error.

    Args:
        make: makes a pipeline, of a task and options.
        call: the call.
        error: what it may raise.
    """
    args, options, made_with = (
        copy.deepcopy(x) for x in (call.args, {**call.options}, {**call.made_with})
    )
    try:
        pipe = make(call.task, **made_with)
        config = pipe.model.config
        before = {name: getattr(config, name) for name in call.config}
        _set(config, call.config)
        args = ((x for x in args[0]),) if call.streams else args
        found = pipe(*args, **options)
        found = ["a stream", *found] if call.streams else found
        _set(config, before)
    except error:
        return "an error"
    return in_json(found)


def _set(config: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(config, name, value)
