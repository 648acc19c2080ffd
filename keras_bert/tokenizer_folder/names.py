"""Names of files and tokens, and what settings are by default."""

from typing import Any

VOCAB_FILE, FAST_FILE = "vocab.txt", "tokenizer.json"
CONFIG_FILE, MODEL_FILE = "tokenizer_config.json", "config.json"
MAP_FILE, ADDED_FILE = "special_tokens_map.json", "added_tokens.json"
SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
NO_LIMIT = 2**31 - 1  # a model_max_length that cuts nothing
KERAS_HUB_VOCAB = "assets/tokenizer/vocabulary.txt"
KERAS_HUB_PREPROCESSOR = "preprocessor.json"
PREFIX, WORD_LENGTH = "##", 100  # of transformers' BertTokenizer
# The arguments of `BertTokenizer`, as transformers' has them.
DEFAULTS: dict[str, Any] = {
    "do_lower_case": True,
    "strip_accents": None,
    "tokenize_chinese_chars": True,
    "clean_text": True,
    "google_rules": False,
    "split_special_tokens": False,
    "continuing_subword_prefix": PREFIX,
    "max_word_length": WORD_LENGTH,
    "model_max_length": 512,
    **SPECIAL_TOKENS,
}
MOST_IDS = 1 << 24
ELSEWHERE = "Tokenize with transformers' AutoTokenizer, and give the model ids."
