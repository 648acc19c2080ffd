"""The files of a tokenizer, read as transformers 5 reads them; no tokenization here.

Which file decides follows `AutoTokenizer`. If `tokenizer_class`, or without one the
`model_type` in `config.json`, names BERT's tokenizer, the vocabulary is that of
`tokenizer.json`, or else of `vocab.txt`, and `tokenizer_config.json` says everything
else: the normalizer in `tokenizer.json` is not used. Otherwise `tokenizer.json` says
everything. Where neither file exists, the vocabulary itself tells whether it is cased.
"""

from keras_bert.tokenizer_folder.added import AddedToken
from keras_bert.tokenizer_folder.names import (
    CONFIG_FILE,
    DEFAULTS,
    FAST_FILE,
    NO_LIMIT,
    PREFIX,
    SPECIAL_TOKENS,
    VOCAB_FILE,
    WORD_LENGTH,
)
from keras_bert.tokenizer_folder.reading import (
    TokenizerFolder,
    keras_hub_length,
    read_folder,
)
from keras_bert.tokenizer_folder.vocabulary import (
    is_cased,
    read_fast,
    read_vocabulary,
    tokens_by_id,
    wordpiece_model,
)
from keras_bert.tokenizer_folder.writing import (
    fast_text,
    folder_texts,
    vocabulary_text,
    write_files,
)

__all__ = [
    "CONFIG_FILE",
    "DEFAULTS",
    "FAST_FILE",
    "NO_LIMIT",
    "PREFIX",
    "SPECIAL_TOKENS",
    "VOCAB_FILE",
    "WORD_LENGTH",
    "AddedToken",
    "TokenizerFolder",
    "fast_text",
    "folder_texts",
    "is_cased",
    "keras_hub_length",
    "read_fast",
    "read_folder",
    "read_vocabulary",
    "tokens_by_id",
    "vocabulary_text",
    "wordpiece_model",
    "write_files",
]
