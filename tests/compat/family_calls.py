"""Small tokenizers of other algorithms than WordPiece, and the calls made to them."""

import json
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from keras_bert.protobuf import message_classes
from tests.compat.tokenizer_calls import LONG, TEXTS, WORDS, Call, calls

FIRST = ["<s>", "<pad>", "</s>", "<unk>"]
_WORDS = "the cat sat on mat dog runs running un affable don He The .".split()
_PROTO = {
    "Piece": [(1, "piece", "string"), (2, "score", "float"), (3, "type", "int32")],
    "Trainer": [(3, "model_type", "int32"), (35, "byte_fallback", "bool")],
    "Model": [(1, "pieces", "*Piece"), (2, "trainer_spec", "Trainer")],
}
_BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())


def byte_pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Returns the vocabulary and the merges of a byte-level BPE."""
    starts = ((word, list(accumulate(word))[:-1]) for word in _WORDS)
    inside = [pair for w, s in starts for pair in zip(s, w[1:], strict=True)]
    merges = dict.fromkeys([*inside, *(("Ġ", word) for word in _WORDS)])
    merged = [a + b for a, b in merges]
    tokens = dict.fromkeys([*FIRST, *_BYTES, *merged, "<mask>"])
    return {token: index for index, token in enumerate(tokens)}, list(merges)


def pieces() -> list[tuple[str, float]]:
    """Returns the pieces and scores of a unigram model, without special tokens."""
    words = [form for word in _WORDS for form in (f"▁{word}", word)]
    letters = [*"▁abcdefghijklmnopqrstuvwxyzHTR,.!?:'", "他", "明", "é"]
    scores = {word: -3.0 - 0.25 * n for n, word in enumerate(words)}
    scores = {letter: -15.0 - 0.125 * n for n, letter in enumerate(letters)} | scores
    return list(scores.items())


def unigram() -> Tokenizer:
    """Returns the tokenizer in the tokenizer.json of XLM-RoBERTa, but for its size."""
    vocab = [*((token, 0.0) for token in FIRST), *pieces(), ("<mask>", 0.0)]
    library = Tokenizer(models.Unigram(vocab, 3, False))
    library.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", "always")]
    )
    library.decoder = decoders.Metaspace("▁", "always")
    library.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    mask = AddedToken("<mask>", lstrip=True, special=True)
    library.add_special_tokens([*FIRST, mask])
    return library


def sentencepiece_model(**trainer: Any) -> bytes:
    """Returns a file of SentencePiece with the same pieces and one more."""
    kinds = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("<new>", 0.0, 4)]
    listed = [*kinds, *((piece, score, 1) for piece, score in pieces())]
    names = "piece", "score", "type"
    return message_classes(_PROTO)["Model"](
        pieces=[dict(zip(names, values, strict=True)) for values in listed],
        trainer_spec={"model_type": 1, **trainer},
    ).SerializeToString()


def write_files(folder: Path) -> None:
    """Writes the files of all."""
    (folder / "sentencepiece.bpe.model").write_bytes(sentencepiece_model())
    vocab, merges = byte_pairs()
    (folder / "vocab.json").write_text(json.dumps(vocab), "utf-8")
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    unigram().save(str(folder / "tokenizer.json"))


def tokenizers(module: Any, folder: Path) -> dict[str, Any]:
    """Returns the tokenizers of a module, `transformers` or this package's."""
    write_files(folder)
    files = str(folder / "vocab.json"), str(folder / "merges.txt")
    fast = str(folder / "tokenizer.json")
    byte_level, length = module.RobertaTokenizerFast, {"model_max_length": 32}
    return {
        "bytes": byte_level(*files, **length),
        "spaced": byte_level(*files, add_prefix_space=True, **length),
        "untrimmed": byte_level(*files, trim_offsets=False, **length),
        "sentencepiece": module.XLMRobertaTokenizerFast(
            str(folder / "sentencepiece.bpe.model"), **length
        ),
        "unigram": module.XLMRobertaTokenizerFast(tokenizer_file=fast, **length),
    }


_TEXTS = {
    **TEXTS,
    "mask": "<s> the <mask> cat</s><mask> <mask><pad> <unk>",
    "new": "the<new> cat",
    "spaces": "  the  cat\n\n dog ",
}
_OFFSETS = {"return_offsets_mapping": True, "return_special_tokens_mask": True}


def family_calls() -> Iterator[tuple[str, Call]]:
    """Yields the calls, and to which tokenizer each is made."""
    for name in ("bytes", "unigram"):
        yield from ((name, call) for call in calls(_TEXTS))
    yield from (("spaced", c) for c in calls({}) if "is_split_into_words" in c.options)
    for name in ("spaced", "untrimmed", "sentencepiece"):
        for key, text in _TEXTS.items():
            yield name, Call(key, "__call__", (text,), _OFFSETS)
            yield name, Call(f"{key} in pair", "__call__", (LONG, text), _OFFSETS)
    words = {"is_split_into_words": True, **_OFFSETS}
    yield "spaced", Call("words", "__call__", (WORDS, WORDS), words)


def named(call: tuple[str, Call]) -> str:
    return f"{call[0]}: {call[1].name}"
