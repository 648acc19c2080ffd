"""Tokenizer folders as they are found, and texts, for comparisons with transformers."""

import json
import random
from pathlib import Path
from typing import Any

from tests.vocabulary import SPECIAL

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = "the of and low lower run un hello world führer ##er ##ning ##aff ##able ##s"
LOWER = [
    *SPECIAL,
    *PIECES.split(),
    *LETTERS,
    *(f"##{c}" for c in LETTERS),
    *"0123456789.,!?'-[]()<>/#:@é中文日本語σς한ßı",
    *(f"##{c}" for c in "0123456789éσςß"),
    *("ᄒ", "##ᅡ", "##ᆫ", "##中", "##文", "😀", "\u2581", "e1", "new", "##york"),
]
LOWER = list(dict.fromkeys(LOWER))
UPPER = [*LOWER, *LETTERS.upper(), *(f"##{c}" for c in LETTERS.upper())]
UPPER += ["The", "Hello", "É", "##É", "Σ", "##Σ", "İ", "World"]


def token(content: str, **flags: bool) -> dict[str, Any]:
    """Returns an added token as `tokenizer_config.json` has it."""
    names = ("lstrip", "normalized", "rstrip", "single_word", "special")
    return {"content": content} | {name: flags.get(name, False) for name in names}


def fast(
    vocab: list[str],
    lower: bool = True,
    strip: bool | None = None,
    *,
    added: list[dict] | None = None,
    prefix: str = "##",
    longest: int = 100,
    template: bool = False,
    **normalizer: bool,
) -> dict[str, Any]:
    """Returns a `tokenizer.json`."""
    special = [token(t, special=True) for t in SPECIAL]
    tokens = [dict(t) for t in (*special, *(added or []))]
    known = {t: i for i, t in enumerate(vocab)}
    for item in tokens:
        item["id"] = known.setdefault(item["content"], len(known))
    cls, sep = ({"SpecialToken": {"id": t, "type_id": 0}} for t in ("[CLS]", "[SEP]"))
    first = [cls, {"Sequence": {"id": "A", "type_id": 0}}, sep]
    second = [
        {"Sequence": {"id": "B", "type_id": 1}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 1}},
    ]
    processing = {
        "type": "TemplateProcessing",
        "single": first,
        "pair": first + second,
        "special_tokens": {
            t: {"id": t, "ids": [known[t]], "tokens": [t]} for t in ("[CLS]", "[SEP]")
        },
    }
    bert = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    return {
        "version": "1.0",
        "truncation": {
            "direction": "Right",
            "max_length": 9,
            "strategy": "LongestFirst",
            "stride": 0,
        },
        "padding": None,
        "added_tokens": tokens,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": strip,
            "lowercase": lower,
        }
        | normalizer,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": processing if template else bert,
        "decoder": {"type": "WordPiece", "prefix": prefix, "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": prefix,
            "max_input_chars_per_word": longest,
            "vocab": {t: i for i, t in enumerate(vocab)},
        },
    }


FLAGGED = [
    token("<e1>"),
    token("</e1>", special=True),
    token("<strip>", lstrip=True, rstrip=True),
    token("<left>", lstrip=True, special=True),
    token("<word>", single_word=True),
    token("covid", normalized=True),
    token("COVID-19", normalized=True),
    token("Élan", normalized=True, single_word=True),
    token("only", single_word=True, normalized=True, rstrip=True),
    token("中文", normalized=True),
    token("日本"),
    token("new york", normalized=True),
    token("New York"),
    token("<e1", special=True),
    token("ing", normalized=True),
]
GENERIC = {"tokenizer_class": "PreTrainedTokenizerFast"}
BERT = {"tokenizer_class": "BertTokenizer"}
MODEL = {"model_type": "bert"}


def _decoder(vocab: list[str], tokens: list[dict]) -> dict[str, Any]:
    return {
        "added_tokens_decoder": {str(len(vocab) + i): t for i, t in enumerate(tokens)}
    }


def _chars(tokens: list[dict], *names: str) -> list[dict]:
    return [dict(t) for t in tokens if t["content"] in names]


def variants() -> dict[str, dict[str, Any]]:
    """Returns the files of each folder: a list is a `vocab.txt`, the rest is JSON."""
    local = [t for t in FLAGGED if " " not in t["content"]]
    plain = [t for t in local if not (t["lstrip"] or t["rstrip"])]
    config, words = "tokenizer_config.json", "vocab.txt"
    both = {words: LOWER, "tokenizer.json": fast(LOWER, False)}
    prefixed = [t.replace("##", "@@") for t in UPPER]
    return {
        "vocabulary": {words: LOWER, "config.json": MODEL},
        "cased by settings": {words: UPPER, config: {"do_lower_case": False} | BERT},
        "settings without case": {words: UPPER, config: BERT},
        "accents kept": {words: UPPER, config: {"strip_accents": False} | BERT},
        "cased, accents stripped": {
            words: UPPER,
            config: {"do_lower_case": False, "strip_accents": True} | BERT,
        },
        "ideographs kept": {
            words: LOWER,
            config: {"tokenize_chinese_chars": False} | BERT,
        },
        "old settings": {
            words: LOWER,
            config: {"never_split": ["hello"], "do_basic_tokenize": False} | BERT,
        },
        "tokenizer.json alone": {"tokenizer.json": fast(UPPER, False)},
        "accents kept in tokenizer.json": {"tokenizer.json": fast(UPPER, True, False)},
        "template": {"tokenizer.json": fast(LOWER, template=True), config: GENERIC},
        "settings win for BERT": both | {"config.json": MODEL},
        "tokenizer.json wins otherwise": both | {config: GENERIC, "config.json": MODEL},
        "short words": {"tokenizer.json": fast(LOWER, longest=4)},
        "short words for BERT": {
            "tokenizer.json": fast(LOWER, longest=4),
            config: BERT,
        },
        "prefix": {"tokenizer.json": fast(prefixed, False, prefix="@@")},
        "control characters kept": {"tokenizer.json": fast(LOWER, clean_text=False)},
        "ideographs kept in tokenizer.json": {
            "tokenizer.json": fast(UPPER, False, handle_chinese_chars=False)
        },
        "added_tokens.json": {
            words: LOWER,
            "added_tokens.json": {"<e1>": len(LOWER), "covid": len(LOWER) + 1},
            config: BERT,
        },
        "special_tokens_map.json": {
            words: LOWER,
            "special_tokens_map.json": {
                "additional_special_tokens": ["<e1>", "</e1>", "hello"],
                "mask_token": token("[MASK]", lstrip=True),
            },
            config: BERT,
        },
        "both": {
            words: LOWER,
            "added_tokens.json": {"<e1>": len(LOWER), "</e1>": len(LOWER) + 1},
            "special_tokens_map.json": {"additional_special_tokens": ["<e1>"]},
            config: BERT,
        },
        "other special tokens": {
            words: [t.replace("[MASK]", "<mask>") for t in LOWER],
            config: {"mask_token": "<mask>", "unk_token": "the"} | BERT,
        },
        "special tokens split": {
            words: LOWER,
            config: {"split_special_tokens": True} | BERT,
        },
        "added, all flags": {
            words: UPPER,
            config: _decoder(UPPER, FLAGGED) | {"do_lower_case": False} | BERT,
        },
        "added, all flags, lower-cased": {
            words: LOWER,
            config: _decoder(LOWER, FLAGGED) | BERT,
        },
        "added, without spaces": {words: LOWER, config: _decoder(LOWER, local) | BERT},
        "added, nothing stripped": {
            words: LOWER,
            config: _decoder(LOWER, plain) | BERT,
        },
        "added in tokenizer.json": {"tokenizer.json": fast(LOWER, added=FLAGGED)},
        "added in tokenizer.json, cased": {
            "tokenizer.json": fast(UPPER, False, added=FLAGGED, clean_text=False)
        },
        "added in tokenizer.json for BERT": {
            "tokenizer.json": fast(LOWER, added=local),
            config: BERT,
        },
        "added, special only": {
            words: LOWER,
            config: _decoder(LOWER, _chars(FLAGGED, "</e1>", "<left>"))
            | {"additional_special_tokens": ["<q>"]}
            | BERT,
        },
    }


def write(folder: Path, files: dict[str, Any]) -> Path:
    """Writes a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        is_list = isinstance(value, list)
        text = "".join(f"{t}\n" for t in value) if is_list else json.dumps(value)
        (folder / name).write_text(text, "utf-8", newline="\n")
    return folder


_PARTS = (
    "the The of HELLO Hello World unaffable Running lower lowest café CAFÉ cafe\u0301 "
    "E\u0301lan Élan élan ÉLAN naïve Straße ẞ ﬁn ① Ⅷ ΣΑΣ ΟΔΟΣ σας İstanbul ı Ǆ ǅ K "
    "中文 日本語 日本 漢字かな 한국 ᄒ\u1161\u11ab สวัสดี हिन्दी नि שָׁלוֹם مُحَمَّد "
    "😀 \U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 "
    "\U0001fae0 … — – ‘x’ “y” 「中」 。 ， ¿ ¡ « » $ € ₿ © x² ½ 3.14 1,000 "
    "[CLS] [SEP] [MASK] [mask] [UNK] [PAD] <e1> </e1> <e1 <E1> <strip> <left> <word> "
    "covid COVID Covid-19 COVID-19 covid-19 only Only ONLY ing running <q> <mask> "
    "new york New York NEW e1 ##er # ## a_b a@b.c http://x.y/z?q=1#f don't U.S.A. "
    "\U00020000 \U0002b820 \U0002a6d6 \uf900 \ue000 \U000f0000 \u20dd ᾳ ᾼ ŉ ǰ"
).split(" ")
_JOINTS = [" "] * 12 + [
    "",
    "",
    "",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\xa0",
    "\u3000",
    "\u200b",
]
_JOINTS += ["\u200d", "\ufeff", "\xad", "\0", "\x0b", "\x0c", "\x1c", "\x1f", "\x85"]
_JOINTS += [
    "\u2028",
    "\ufffd",
    "-",
    ".",
    "\u0301",
    "\u0327",
    "\u0345",
    "\x7f",
    "\u180e",
]


def texts(count: int, seed: int = 0) -> list[str]:
    """Makes texts of everything on which tokenizers are known to differ."""
    rng = random.Random(seed)
    found = [
        "",
        " ",
        "\n",
        "[MASK]",
        "a" * 99,
        "a" * 100,
        "a" * 101,
        "é" * 101,
        "中" * 200,
    ]
    while len(found) < count:
        parts = []
        for _ in range(rng.randrange(1, 14)):
            part = rng.choice(_PARTS)
            if rng.random() < 0.08:
                part = "".join(map(chr, _any_characters(rng)))
            parts += [part, rng.choice(_JOINTS)]
        found.append("".join(parts))
    return found[:count]


def _any_characters(rng: random.Random) -> list[int]:
    top = rng.choice([0x250, 0x3100, 0x3100, 0x10000, 0x20000, 0x110000])
    codes = [rng.randrange(top) for _ in range(rng.randrange(1, 5))]
    return [code for code in codes if not 0xD800 <= code < 0xE000]
