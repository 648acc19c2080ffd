"""Calls of a tokenizer as public scripts make them; what each returns, in JSON."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

from tests.vocabulary import SPECIAL

LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
VOCAB = [
    *SPECIAL,
    *"the cat sat on mat dog run ##ning ##s un ##aff ##able . , ! ? ' - don".split(),
    *"他 明 白 是 的 中 cafe 1 2 3 ## [ ] 0 ##0".split(),
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS if letter != "s"),
]
SHORT, LONG = (
    "The cat sat.",
    "The dog runs, unaffable! He don't run: running on the mat?",
)
TEXTS = {
    "plain": LONG,
    "empty": "",
    "space": " \t\n",
    "chinese": "他明白是的 中cat",
    "emoji": "cat 😀 dog 👩‍👩‍👧 run",
    "accents": "Café ÉLÈVE naïve ﬁ ẞ",
    "special": "[CLS] the [MASK] cat[SEP] [mask] [PAD]",
    "long word": "a" * 120 + " cat",
    "control": "the\x00cat\ufffd \u200bdog\u00a0run\u3000on",
}
WORDS = ["The", "dog", "", "running,", "他明", " cat sat "]
BATCH = [SHORT, "", LONG, "他 cat"]
OTHERS = ["The mat", LONG, "dog", ""]


class Call(NamedTuple):
    """A call: of which method, with what."""

    name: str
    method: str
    args: tuple[Any, ...]
    options: dict[str, Any]


def calls(texts: Mapping[str, str] = TEXTS) -> Iterator[Call]:
    """Yields every call, each under a name of its own."""
    for name, text in texts.items():
        for method in ("__call__", "encode", "tokenize", "encode_plus"):
            yield Call(f"{method} {name}", method, (text,), {})
        yield Call(f"pair {name}", "__call__", (SHORT, text), {})
        options = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
        yield Call(f"all of {name}", "__call__", (text,), options)
    inputs = {
        "one": (LONG,),
        "pair": (SHORT, LONG),
        "batch": (BATCH,),
        "pairs": (BATCH, OTHERS),
        "tuples": (list(zip(BATCH, OTHERS, strict=True)),),
        "lists": ([[SHORT, LONG], ["cat", "dog"]],),
    }
    for (name, args), (number, options) in product(inputs.items(), enumerate(OPTIONS)):
        yield Call(f"{name} {number}", "__call__", args, options)
    words = {
        "words": (WORDS,),
        "words of two": ([WORDS, ["cat"]],),
        "word pairs": ([WORDS, ["cat"]], [["mat"], WORDS]),
        "word pair": (WORDS, ["mat", "on"]),
        "no words": ([],),
    }
    for (name, args), (number, options) in product(words.items(), enumerate(WORDED)):
        both = {"is_split_into_words": True, **options}
        yield Call(f"{name} {number}", "__call__", args, both)
    for number, (method, args, options) in enumerate(OTHER_CALLS):
        yield Call(f"other {number} {method}", method, args, options)


_WINDOWS = {"max_length": 9, "return_overflowing_tokens": True}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"padding": True},
    {"padding": "longest", "return_tensors": "np"},
    {"padding": "max_length"},
    {"padding": "max_length", "max_length": 12},
    {"padding": "max_length", "max_length": 12, "truncation": True},
    {
        "padding": "max_length",
        "max_length": 24,
        "truncation": True,
        "return_tensors": "np",
    },
    {"padding": "do_not_pad", "truncation": "do_not_truncate"},
    {"max_length": 8},
    {"max_length": 8, "truncation": True},
    {"max_length": 8, "truncation": False, "padding": True},
    {"max_length": 10, "truncation": "only_first"},
    {"max_length": 14, "truncation": "only_second"},
    {"max_length": 9, "truncation": "longest_first", "return_length": True},
    {"truncation": True},
    {"truncation": "only_second"},
    {"truncation": True, "padding": "max_length", "max_length": 3},
    {"add_special_tokens": False},
    {"add_special_tokens": False, "max_length": 6, "truncation": True},
    {"return_token_type_ids": False, "return_attention_mask": False},
    {"return_token_type_ids": True, "return_special_tokens_mask": True},
    {"return_offsets_mapping": True, "return_length": True},
    {"return_tensors": "np"},
    {"return_tensors": "np", "padding": True, "return_offsets_mapping": True},
    {"padding": True, "pad_to_multiple_of": 8},
    {"padding": "max_length", "max_length": 9, "pad_to_multiple_of": 4},
    {"padding": True, "truncation": True, "max_length": 9, "pad_to_multiple_of": 4},
    {"padding": True, "padding_side": "left"},
    {**_WINDOWS, "truncation": True},
    {**_WINDOWS, "truncation": "only_first", "stride": 2},
    {**_WINDOWS, "truncation": "only_second", "stride": 1, "max_length": 12},
    {
        **_WINDOWS,
        "truncation": "only_second",
        "stride": 2,
        "max_length": 14,
        "padding": "max_length",
        "return_offsets_mapping": True,
    },
    {
        **_WINDOWS,
        "truncation": True,
        "stride": 3,
        "padding": True,
        "return_tensors": "np",
    },
    {**_WINDOWS, "truncation": True, "stride": 7},
    {"return_overflowing_tokens": True},
    {"split_special_tokens": True},
    {"padding": "wrong"},
    {"truncation": "wrong"},
    {"padding": "max_length", "max_length": 12, "verbose": False},
]
WORDED: list[dict[str, Any]] = [
    {},
    {"return_offsets_mapping": True},
    {"padding": True, "truncation": True, "max_length": 6},
    {"padding": "max_length", "max_length": 16, "return_tensors": "np"},
    {
        "truncation": True,
        "max_length": 6,
        "stride": 2,
        "return_overflowing_tokens": True,
    },
]
_ENCODED = {"input_ids": [[2, 5, 3], [2, 3]], "label": [1, 0]}
_ROWS = [
    {"input_ids": [2, 5, 6, 3], "token_type_ids": [0, 0, 0, 0], "labels": 1},
    {"input_ids": [2, 3], "token_type_ids": [0, 1], "labels": 0},
]
_SOME = [2, 5, 12, 13, 6, 0, 3, 0]
OTHER_CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("__call__", (), {"text": SHORT}),
    ("__call__", (), {"text": SHORT, "text_pair": LONG}),
    ("__call__", (SHORT,), {"text_pair": ""}),
    ("__call__", (SHORT, None), {}),
    ("__call__", (SHORT,), {"text_target": LONG}),
    ("__call__", (), {"text_target": [SHORT]}),
    ("__call__", (), {}),
    ("__call__", (None,), {}),
    ("__call__", (["cat", None],), {}),
    ("__call__", ([None, "cat"],), {}),
    ("__call__", ([1, 2],), {}),
    ("__call__", (1,), {}),
    ("__call__", (b"cat",), {}),
    ("__call__", ({"text": "cat"},), {}),
    ("__call__", (["cat", "dog"], "mat"), {}),
    ("__call__", (["cat", "dog"], ["mat"]), {}),
    ("__call__", ([("a", "b", "c")],), {}),
    ("__call__", ("\ud800",), {}),
    ("__call__", ("cat",), {"unknown": 1}),
    ("__call__", ("cat",), {"return_tensors": "wrong"}),
    ("__call__", ("cat",), {"max_length": -1, "truncation": True}),
    ("encode", (SHORT, LONG), {"max_length": 10, "truncation": True}),
    ("encode", (SHORT,), {"add_special_tokens": False}),
    ("encode", (SHORT,), {"return_tensors": "np"}),
    ("encode", (SHORT, None, False), {}),
    ("encode", (LONG,), {"max_length": 8, "padding": "max_length", "truncation": True}),
    ("encode", ("cat",), {"max_length": 8, "padding": "max_length"}),
    ("encode_plus", (SHORT,), {"max_length": 12, "padding": "max_length"}),
    ("encode_plus", (SHORT, LONG), {"return_tensors": "np"}),
    ("encode_plus", (SHORT,), {"return_overflowing_tokens": True}),
    ("batch_encode_plus", (BATCH,), {"padding": True}),
    ("batch_encode_plus", (list(zip(BATCH, OTHERS, strict=True)),), {"padding": True}),
    ("batch_encode_plus", (SHORT,), {}),
    ("tokenize", (SHORT,), {"add_special_tokens": True}),
    ("tokenize", (SHORT, LONG), {}),
    ("tokenize", (SHORT,), {"pair": "mat", "add_special_tokens": True}),
    ("decode", (_SOME,), {}),
    ("decode", (_SOME,), {"skip_special_tokens": True}),
    ("decode", (5,), {}),
    ("decode", ([],), {}),
    ("decode", ([13, 12, 13],), {}),
    ("batch_decode", ([_SOME, [2, 3], []],), {"skip_special_tokens": True}),
    ("batch_decode", ([5, 6],), {}),
    ("convert_ids_to_tokens", (5,), {}),
    ("convert_ids_to_tokens", (_SOME,), {}),
    ("convert_ids_to_tokens", (_SOME,), {"skip_special_tokens": True}),
    ("convert_tokens_to_ids", ("cat",), {}),
    ("convert_tokens_to_ids", ("nothing",), {}),
    ("convert_tokens_to_ids", (["cat", "nothing", "[SEP]"],), {}),
    ("convert_tokens_to_string", (["run", "##ning", ".", "don", "'", "t"],), {}),
    ("convert_tokens_to_string", (["##s", "cat", "##s"],), {}),
    ("num_special_tokens_to_add", (), {}),
    ("num_special_tokens_to_add", (True,), {}),
    ("build_inputs_with_special_tokens", ([5, 6],), {}),
    ("build_inputs_with_special_tokens", ([5], [6, 7]), {}),
    ("create_token_type_ids_from_sequences", ([5], [6, 7]), {}),
    ("create_token_type_ids_from_sequences", ([5],), {}),
    ("get_special_tokens_mask", (_SOME,), {"already_has_special_tokens": True}),
    ("prepare_for_model", ([5, 6, 7],), {}),
    ("prepare_for_model", ([5, 6, 7], [8, 9]), {}),
    ("prepare_for_model", ([5, 6, 7],), {"max_length": 8, "padding": "max_length"}),
    ("prepare_for_model", ([5, 6, 7, 8],), {"max_length": 4, "truncation": True}),
    (
        "prepare_for_model",
        ([5, 6, 7, 8], [9, 10]),
        {"max_length": 7, "truncation": True},
    ),
    (
        "prepare_for_model",
        ([5, 6, 7, 8], [9, 10]),
        {"max_length": 6, "truncation": "only_first"},
    ),
    (
        "prepare_for_model",
        ([5, 6], [9, 10, 11, 12]),
        {"max_length": 6, "truncation": True},
    ),
    ("prepare_for_model", ([5, 6, 7, 8],), {"add_special_tokens": False}),
    (
        "prepare_for_model",
        ([5, 6],),
        {"return_tensors": "np", "prepend_batch_axis": True},
    ),
    ("prepare_for_model", ([5, 6],), {"return_length": True}),
    (
        "prepare_for_model",
        ([5, 6, 7, 8],),
        {
            "max_length": 4,
            "truncation": True,
            "stride": 1,
            "return_overflowing_tokens": True,
        },
    ),
    ("truncate_sequences", ([5, 6, 7, 8], [9, 10, 11], 3), {}),
    ("truncate_sequences", ([5, 6, 7, 8], None, 2), {"stride": 1}),
    ("truncate_sequences", ([5, 6], [9, 10, 11], 1, "only_second"), {}),
    ("pad", (_ENCODED,), {}),
    ("pad", (_ENCODED,), {"return_tensors": "np"}),
    ("pad", (_ROWS,), {}),
    ("pad", (_ROWS,), {"padding": "max_length", "max_length": 6}),
    (
        "pad",
        (_ROWS,),
        {"padding": "max_length", "max_length": 6, "return_tensors": "np"},
    ),
    ("pad", (_ROWS,), {"pad_to_multiple_of": 8}),
    ("pad", (_ROWS,), {"padding": False}),
    ("pad", (_ROWS,), {"return_attention_mask": False}),
    ("pad", (_ROWS,), {"padding_side": "left"}),
    ("pad", (_ROWS[0],), {"padding": "max_length", "max_length": 6}),
    ("pad", (_ROWS[0],), {}),
    ("pad", ({"ids": [1]},), {}),
    ("clean_up_tokenization", ("do n't , it ' s 's ?",), {}),
    ("get_added_vocab", (), {}),
]


def in_json(value: Any) -> Any:
    """Returns a result of a tokenizer with its types, as JSON gives it back."""
    if hasattr(value, "dtype"):
        return {"array": str(value.dtype), "values": in_json(value.tolist())}
    if hasattr(value, "data") and hasattr(value, "keys"):
        return {"names": list(value), "of": [in_json(value[k]) for k in value]}
    if isinstance(value, dict):
        return {"dict": [[k, in_json(v)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [in_json(v) for v in value]}
    return [in_json(v) for v in value] if isinstance(value, list) else value


def answer(tokenizer: Any, call: Call) -> Any:
    """Returns what a call returns, or "an error"."""
    try:
        return in_json(getattr(tokenizer, call.method)(*call.args, **call.options))
    except KeyboardInterrupt:
        raise
    except BaseException:  # the library's panics are no Exceptions
        return "an error"
