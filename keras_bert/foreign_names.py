"""Names of other packages that scripts look for here, and what replaces them."""

from keras_bert.errors import UnavailableNameError

_ENCODER = """\
tokenizer = keras_bert.BertTokenizer.from_pretrained(folder)
model = keras_bert.BertModel.from_pretrained(folder)
hidden = model(tokenizer(texts))["last_hidden_state"]"""
_PRETRAINING = """\
model = keras_bert.BertForPreTraining.from_pretrained(folder)
outputs = model(model.tokenizer(texts))
logits = outputs["prediction_logits"]"""
_NEW_MODEL = """\
sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
config = keras_bert.BertConfig(vocab_size=9000, intermediate_size=512, **sizes)
model = keras_bert.BertForPreTraining(config)"""
_TOKENIZER = """\
tokenizer = keras_bert.BertTokenizer.from_pretrained(folder)
tokens = tokenizer.tokenize(texts[0])
inputs = tokenizer(texts, max_length=128)  # model(inputs)"""
_VOCABULARY = """\
tokenizer = keras_bert.BertTokenizer.from_pretrained(folder)
ids = tokenizer.vocab  # by token
mask_id = tokenizer.mask_token_id"""
_DATA = """\
from keras_bert.pretraining import create_pretraining_data, dataset
create_pretraining_data(text_files, "records/part@1", tokenizer)
batches = dataset("records/*", batch_size=32)"""
_SAVED = """\
import keras
model.save("model.keras")
model = keras.saving.load_model("model.keras")  # no custom objects"""
_OPTIMIZER = """\
from keras_bert.optimizers import AdamW, LinearWarmupDecay
schedule = LinearWarmupDecay(2e-5, steps, steps // 10)
model.compile(AdamW(schedule))"""
_VECTORS = """\
from keras_bert.serving.predictor import Predictor
model = keras_bert.BertModel.from_pretrained(folder)
vectors = Predictor(model, model.tokenizer, embeddings="mean")(texts)"""
_HUB = """\
name = "hf://google-bert/bert-base-uncased"  # or a directory
tokenizer = keras_bert.BertTokenizer.from_pretrained(name)
model = keras_bert.BertModel.from_pretrained(name)"""
_TABLE = """\
model = keras_bert.BertForMaskedLM.from_pretrained(folder)
table = model.encoder.embeddings.word_embeddings
logits = model.project(hidden)  # of a last hidden state"""

# Public names of CyberZHG's package, by what replaces them.
CYBERZHG = {
    name: lines
    for lines, names in {
        _ENCODER: ("load_trained_model_from_checkpoint", "get_checkpoint_paths"),
        _PRETRAINING: ("load_model_weights_from_checkpoint", "CheckpointPaths"),
        _NEW_MODEL: ("get_model", "build_model_from_config"),
        _TOKENIZER: ("Tokenizer",),
        _VOCABULARY: (
            "load_vocabulary",
            "get_base_dict",
            *(f"TOKEN_{kind}" for kind in ("PAD", "UNK", "CLS", "SEP", "MASK")),
        ),
        _DATA: ("gen_batch_inputs",),
        _SAVED: ("get_custom_objects", "set_custom_objects", "gelu"),
        _OPTIMIZER: ("AdamWarmup", "calc_train_steps", "compile_model"),
        _VECTORS: (
            "extract_embeddings",
            "extract_embeddings_generator",
            *(f"POOL_{kind}" for kind in ("NSP", "MAX", "AVE")),
        ),
        _HUB: ("get_pretrained", "PretrainedList"),
        _TABLE: ("get_token_embedding", "TokenEmbedding", "EmbeddingSimilarity"),
    }.items()
    for name in names
}
TRANSFORMERS = (
    "AdamWeightDecay",
    "AutoConfig",
    "AutoTokenizer",
    "BertTokenizerFast",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "ElectraTokenizer",
    "ElectraTokenizerFast",
    "WarmUp",
    "create_optimizer",
    "pipeline",
    "set_seed",
)


def refusal(name: str) -> Exception:
    """Returns the error for a name that `keras_bert` does not have.

    Args:
        name: what was looked for.

    Returns:
        An ImportError for a name of another package, whose message `from keras_bert
        import …` shows; else an AttributeError, whose message it drops.

    Example:
        >>> "load_trained_model" in str(refusal("load_trained_model_from_checkpoint"))
        True
    """
    if name in CYBERZHG:
        lines = CYBERZHG[name].replace("\n", "\n    ")
        return UnavailableNameError(
            f"{name} is a name of another package that is also imported as keras_bert: "
            "CyberZHG's, which PyPI calls keras-bert. This is keras_bert of "
            f"bert-for-keras, where these lines replace it:\n\n    {lines}\n"
        )
    if name in TRANSFORMERS or name.startswith("TF"):
        return UnavailableNameError(
            f"{name} is a name of transformers. Expected its own import: "
            f"from keras_bert.transformers import {name}."
        )
    return AttributeError(f"module 'keras_bert' has no attribute {name!r}")
