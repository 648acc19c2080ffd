"""Folders of sentence-transformers: read, obeyed, kept, or refused by name."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import keras_bert
from keras_bert.checkpoints import convert, formats, sentence_modules
from keras_bert.checkpoints.sentence_modules import MODULES, POOLINGS, SETTINGS
from keras_bert.cli.models import _head_of, load_tokenizer
from keras_bert.errors import CheckpointError, ConfigError, UnknownNameError
from keras_bert.layers.pooling import POOLINGS as COMPUTED
from keras_bert.layers.pooling import pool
from keras_bert.sentence_recipe import POOLINGS as POOLED
from keras_bert.sentence_recipe import UNIT_LENGTH, SentenceRecipe, Step
from keras_bert.serving.export import export
from keras_bert.serving.graph import embeddings, model_card
from keras_bert.serving.graph.servable import Servable
from keras_bert.serving.predictor import Predictor
from keras_bert.tasks import SentenceEmbedding
from tests.bounds import assert_close

LIMIT = 7
TEXTS = ["a b", "", "Bé a b a b a b a b a", "b"]
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "be", ":", "q"]
CONFIG = keras_bert.BertConfig(
    vocab_size=len(VOCAB),
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=17,
    max_position_embeddings=19,
    hidden_act="gelu_new",
)
TRANSFORMER = "sentence_bert_config.json"
POOLING, NORMALIZE = "1_Pooling/config.json", "2_Normalize"
PACKAGE = "sentence_transformers.models."
MEAN = {"word_embedding_dimension": 12, "pooling_mode_mean_tokens": True}


def module(name, path):
    return {"path": path, "type": name}


def modules(*others, first=PACKAGE + "Transformer", path=""):
    others = others or (
        module(PACKAGE + "Pooling", "1_Pooling"),
        module(PACKAGE + "Normalize", NORMALIZE),
    )
    listed = [module(first, path), *others]
    return [{**m, "idx": n, "name": str(n)} for n, m in enumerate(listed)]


def put(folder, files):
    """Writes files over those of a folder: JSON, or bytes as they are."""
    for name, value in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        contents = value if isinstance(value, bytes) else json.dumps(value).encode()
        (folder / name).write_bytes(contents)
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A checkpoint of Hugging Face's, without modules."""
    model = keras_bert.BertModel(CONFIG, seed=5)
    for weight in model.weights:
        weight.assign(weight + 0.3 * np.random.default_rng(3).normal(size=weight.shape))
    path = tmp_path_factory.mktemp("plain") / "hf"
    tokenizer = keras_bert.BertTokenizer(VOCAB, model_max_length=512)
    return model.save_pretrained(path, "huggingface", tokenizer=tokenizer)


@pytest.fixture
def folder(plain, tmp_path):
    """Makes the folder of all-MiniLM's form, with some files changed."""

    def make(changes=(), place=""):
        root = tmp_path / "sentences"
        put(root / place, {p.name: p.read_bytes() for p in plain.iterdir()})
        put(root / place, {TRANSFORMER: {"max_seq_length": LIMIT}})
        return put(root, {MODULES: modules(), POOLING: MEAN, **dict(changes)})

    return make


def states(model, tokenizer, texts, limit=LIMIT):
    batch = tokenizer.encode_batch(texts, max_length=limit)
    return np.array(model(batch)["last_hidden_state"]), batch["attention_mask"]


def by_numpy(hidden, mask, names, normalize):
    """The vectors of sentence-transformers' `Pooling` and `Normalize`, row by row."""
    vectors = []
    for row, kept in zip(hidden, mask, strict=True):
        row = row[kept > 0]  # (tokens, hidden)
        places = np.arange(1, len(row) + 1)[:, None]
        by_name = {
            "cls": row[0],
            "max": row.max(0),
            "mean": row.mean(0),
            "mean_sqrt_len_tokens": row.sum(0) / np.sqrt(len(row)),
            "weightedmean": (row * places).sum(0) / places.sum(),
            "lasttoken": row[-1],
        }
        vector = np.concatenate([by_name[name] for name in names])
        vectors.append(vector / np.linalg.norm(vector) if normalize else vector)
    return np.stack(vectors)


def vectors_of(path, **answers):
    """What a folder's texts become, by the class that serves them."""
    model = keras_bert.BertModel.from_pretrained(path)
    rows = Predictor(model, model.tokenizer, **answers)(TEXTS)
    return np.stack([row["embeddings"] for row in rows])


def pooled_of(path):
    """The same without a graph of text."""
    model = keras_bert.SentenceEncoder.from_pretrained(path)
    return model(TEXTS)["embeddings"]


def expected_of(path, names=("mean",), normalize=True, texts=TEXTS, limit=LIMIT):
    model = keras_bert.BertModel.from_pretrained(path)
    return by_numpy(*states(model, model.tokenizer, texts, limit), names, normalize)


SWITCHES = {name: {key: True} for key, name in POOLINGS.items()}
CASES = {
    **{name: (switch, (name,)) for name, switch in SWITCHES.items()},
    "none": ({"pooling_mode_mean_tokens": False}, ("mean",)),
    "several": (
        {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
        ("cls", "mean"),
    ),
    "today": ({"pooling_mode": "lasttoken", "embedding_dimension": 12}, ("lasttoken",)),
    "listed": ({"pooling_mode": ["mean", "max", "cls"]}, ("mean", "max", "cls")),
}


@pytest.mark.parametrize("case", CASES)
def test_every_pooling_is_obeyed(case, folder):
    settings, names = CASES[case]
    path = folder({MODULES: modules(module(PACKAGE + "Pooling", "1_Pooling"))})
    put(path, {POOLING: settings})
    recipe = sentence_modules.read(path).recipe()
    assert recipe == SentenceRecipe(names, max_length=LIMIT)
    model = keras_bert.BertModel.from_pretrained(path)
    hidden, mask = states(model, model.tokenizer, TEXTS)
    received = pool(tf.constant(hidden), tf.constant(mask), recipe.pooling)
    assert_close(received, by_numpy(hidden, mask, names, False))


def test_poolings_have_the_names_of_the_folder():
    assert {*POOLINGS.values(), "pooler"} == {*POOLED} == {*COMPUTED}


def test_what_is_served_obeys_the_folder(folder):
    path = folder()
    model = keras_bert.BertModel.from_pretrained(path)
    servable = Servable(model, model.tokenizer)
    served = servable.on_text(pairs=False)(text=tf.constant(TEXTS))
    assert_close(served["embeddings"], expected_of(path))
    assert servable.settings.max_length == LIMIT
    card = embeddings.describe(servable.model)
    assert card == {"pooling": "mean", "normalize": True, "prompt": "", "width": 12}


@pytest.mark.slow
def test_exports_obey_the_folder(folder, tmp_path):
    path = folder()
    model = keras_bert.BertModel.from_pretrained(path)
    version = export(model, tmp_path / "served", model.tokenizer)
    assert model_card.read(version)["embeddings"]["pooling"] == "mean"
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    assert_close(served(text=tf.constant(TEXTS))["embeddings"], expected_of(path))


def test_what_is_told_comes_first(folder):
    path = folder()
    expected = expected_of(path, ("cls", "max"), False, limit=11)
    received = vectors_of(path, embeddings="cls+max", max_length=11)
    assert_close(received, expected)
    model = keras_bert.BertModel.from_pretrained(path)
    states_alone = Servable(model, None, embeddings="none").functions["serve_ids"]
    assert "last_hidden_state" in states_alone.structured_outputs
    for name, error in {"cls+none": ConfigError, "cls+men": UnknownNameError}.items():
        with pytest.raises(error, match=r"none|mean"):
            Servable(model, None, embeddings=name)
    with pytest.raises(ConfigError, match="normalize=True"):
        Servable(model, None, embeddings="none", normalize=True)


def test_the_limit_is_the_folder_s_or_else_the_tokenizer_s(folder):
    path = folder()
    model = keras_bert.BertModel.from_pretrained(path)
    assert model.tokenizer.model_max_length == LIMIT
    assert model.max_text_length(keras_bert.BertTokenizer.from_pretrained(path)) == 7
    assert model(TEXTS)["last_hidden_state"].shape[1] == LIMIT
    put(path, {TRANSFORMER: {}})  # as sentence-transformers 6 writes it
    tokenizer = keras_bert.BertTokenizer.from_pretrained(path, model_max_length=9)
    model = keras_bert.BertModel.from_pretrained(path)
    assert Servable(model, tokenizer).settings.max_length == 9
    head = keras_bert.BertForSequenceClassification.from_pretrained(path)
    assert head.sentence_modules is None


def test_texts_are_lower_cased_and_prompted(folder):
    cased = keras_bert.BertTokenizer([*VOCAB, "bé"][:-1], do_lower_case=False)
    path = folder({SETTINGS: {"prompts": {"q": "q: "}, "default_prompt_name": "q"}})
    cased.save_pretrained(path, overwrite=True)
    found = keras_bert.BertModel.from_pretrained(path).tokenizer
    assert found.tokenize("A bé") == ["[UNK]", "[UNK]"]
    put(path, {TRANSFORMER: {"max_seq_length": LIMIT, "do_lower_case": True}})
    model = keras_bert.BertModel.from_pretrained(path)
    given = type("Args", (), {"vocab": None, "model": str(path)})
    for tokenizer in (model.tokenizer, load_tokenizer(given, model.config)):
        assert tokenizer.tokenize("A bÉ") == ["a", "[UNK]"]  # the accent stays
        assert tokenizer.model_max_length == LIMIT
    prompted = expected_of(path, texts=[f"q: {text}" for text in TEXTS])
    assert_close(vectors_of(path), prompted)


# === Kept ===


def files_of(path):
    """The contents of the modules' files."""
    return {n: (path / n).read_bytes() for n in sentence_modules.read(path).files}


def test_conversions_keep_every_file(folder, tmp_path):
    dense = {
        "2_Dense/config.json": {"in_features": 12},
        "2_Dense/model.safetensors": b"\0\1\2",
        SETTINGS: {"prompts": {"query": "q: "}, "similarity_fn_name": "cosine"},
    }
    listed = modules(
        module(PACKAGE + "Pooling", "1_Pooling"), module(PACKAGE + "Dense", "2_Dense")
    )
    path = folder({MODULES: listed, **dense})
    written = files_of(path)
    assert written.keys() == {MODULES, POOLING, TRANSFORMER, *dense}
    convert(path, tmp_path / "ours", "keras")
    report = convert(tmp_path / "ours", tmp_path / "back", "huggingface")
    assert files_of(tmp_path / "ours") == files_of(tmp_path / "back") == written
    assert not report.warnings
    model = keras_bert.BertModel.from_pretrained(path)
    resized = model.resize_token_embeddings(23)
    resized.save_pretrained(tmp_path / "saved")
    assert files_of(tmp_path / "saved") == written


def test_vectors_are_the_same_after_a_conversion(folder, tmp_path):
    path = folder()
    expected = expected_of(path)
    for to in ("keras", "huggingface"):
        path = Path(convert(path, tmp_path / to, to).target)
        assert_close(pooled_of(path), expected)


@pytest.mark.parametrize("to", sorted({*formats.FORMATS} - {*formats.WITH_MODULES}))
def test_other_formats_say_what_they_leave_behind(to, folder, tmp_path, caplog):
    report = convert(folder(), tmp_path / "out", to, verify=False)
    assert any("1_Pooling/config.json" in text for text in report.warnings)
    assert not (tmp_path / "out" / MODULES).exists()
    model = keras_bert.BertModel.from_pretrained(folder())
    caplog.clear()
    model.save_pretrained(tmp_path / "saved", format=to)
    assert "sentence-transformers" in caplog.text


@pytest.mark.parametrize("named", ["", "0_BERT"])
def test_the_checkpoint_may_have_a_folder_of_its_own(named, folder, tmp_path):
    path = folder({MODULES: modules(first=PACKAGE + "BERT", path="0_BERT")}, "0_BERT")
    expected = expected_of(path / named)
    convert(path / named, tmp_path / "ours", "keras")
    assert_close(pooled_of(tmp_path / "ours"), expected)
    listed = json.loads((tmp_path / "ours" / MODULES).read_bytes())
    assert [module["path"] for module in listed] == ["", "1_Pooling", NORMALIZE]


# === Refused ===

LAYERS = modules(
    module(PACKAGE + "Pooling", "1_Pooling"), module(PACKAGE + "LSTM", "2_LSTM")
)
DENSE = modules(
    module(PACKAGE + "Pooling", "1_Pooling"), module(PACKAGE + "Dense", "2_Dense")
)
OWN = module("custom_st.Pooling", "1_Pooling")


def of_dense(**changes):
    values = {"in_features": 12, "out_features": 5, **changes}
    return {MODULES: DENSE, "2_Dense/config.json": values}


NOT_COMPUTED = {
    "2_LSTM": {MODULES: LAYERS},
    "custom_st.Pooling": {MODULES: modules(OWN)},
    "custom_st.Bert": {MODULES: modules(first="custom_st.Bert")},
    "topk": {POOLING: {"pooling_mode": ["mean", "topk"]}},
    "pooling_mode_median": {POOLING: {"pooling_mode_median": True}},
    "fill-mask": {TRANSFORMER: {"transformer_task": "fill-mask"}},
    "token_embeddings": {
        f"{NORMALIZE}/config.json": {"module_input_name": "token_embeddings"}
    },
    "'doc'": {SETTINGS: {"default_prompt_name": "doc", "prompts": {"q": "q: "}}},
    "'maxsim'": {SETTINGS: {"similarity_fn_name": "maxsim"}},
    "out_features": of_dense(out_features="5"),
    "use_residual": of_dense(use_residual=True),
    "my.Swish": of_dense(activation_function="my.Swish"),
    "module_input_name": of_dense(module_input_name="token_embeddings"),
}


@pytest.mark.parametrize("name", NOT_COMPUTED)
def test_what_is_not_computed_is_refused_by_name(name, folder):
    found = sentence_modules.read(folder(NOT_COMPUTED[name]))
    with pytest.raises(CheckpointError, match=name) as error:
        found.recipe()
    assert "--embeddings" in str(error.value)


DAMAGED = {
    "not json": {MODULES: b"[{"},
    "an object": {MODULES: {}},
    "empty": {MODULES: []},
    "no type": {MODULES: [{"path": ""}]},
    "outside": {MODULES: modules(module(PACKAGE + "Pooling", "../1_Pooling"))},
    "absolute": {MODULES: modules(module(PACKAGE + "Pooling", "/etc"))},
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_lists_are_errors(name, folder):
    with pytest.raises(CheckpointError, match=MODULES):
        formats.read(folder(DAMAGED[name]))


@pytest.mark.parametrize("length", ["256", 0, True, 2.5])
def test_lengths_that_are_none_are_errors(length, folder):
    path = folder({TRANSFORMER: {"max_seq_length": length}})
    with pytest.raises(CheckpointError, match="max_seq_length"):
        sentence_modules.read(path).tokenizer_changes({})


def test_a_module_cannot_claim_the_files_of_the_checkpoint(folder):
    path = folder({MODULES: modules(module(PACKAGE + "Pooling", "."))})
    assert sentence_modules.read(path).files.keys() == {MODULES, TRANSFORMER}


def test_commands_take_the_encoder_of_a_folder_whatever_its_head_was(folder):
    path = folder()
    checkpoint = formats.read(path)
    checkpoint.head = "BertForMaskedLM"
    assert _head_of(checkpoint) == "encoder"
    (path / MODULES).unlink()
    checkpoint.sentence_modules = sentence_modules.read(path)
    assert _head_of(checkpoint) == "BertForMaskedLM"


# === The real one ===

REAL = os.environ.get("KERAS_BERT_MINILM", "")


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="KERAS_BERT_MINILM: a folder of all-MiniLM-L6-v2")
def test_minilm_gives_the_published_vectors(tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    texts = ["A film.", "the quick brown fox", "", "word " * 700, "Hello, wörld! 東京"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(REAL)
    options = dict(padding=True, truncation=True, max_length=256, return_tensors="pt")
    batch = tokenizer(texts, **options)
    with torch.no_grad():
        hidden = transformers.AutoModel.from_pretrained(REAL).eval()(**batch)[0]
    mask = batch["attention_mask"][..., None].float()
    pooled = (hidden * mask).sum(1) / mask.sum(1)
    expected = torch.nn.functional.normalize(pooled, dim=1).numpy()
    path = REAL
    for to in (None, "keras", "huggingface"):
        path = path if to is None else convert(path, tmp_path / to, to).target
        model = keras_bert.BertModel.from_pretrained(path)
        tokenizer = keras_bert.BertTokenizer.from_pretrained(REAL)
        version = export(model, tmp_path / "served", tokenizer)
        served = tf.saved_model.load(str(version)).signatures["serving_default"]
        assert_close(served(text=tf.constant(texts))["embeddings"], expected)


@pytest.mark.slow
def test_sentence_transformers_makes_the_same_vectors(folder, tmp_path):
    """Of a folder read and written here, and of one that was made here."""
    library = pytest.importorskip("sentence_transformers")
    read = keras_bert.SentenceEncoder.from_pretrained(folder())
    steps = Step("Dense", 7, "tanh"), Step("Dense", 5, "gelu", bias=False), UNIT_LENGTH
    names = tuple(reversed(POOLINGS.values()))
    made = SentenceRecipe(names, steps, prompts={"q": "q: "}, include_prompt=False)
    made = keras_bert.SentenceEncoder.from_pretrained(folder(), recipe=made, seed=3)
    for number, model in enumerate((read, made)):
        path = tmp_path / f"ours-{number}"
        model.save_pretrained(path, tokenizer=model.tokenizer)
        theirs = library.SentenceTransformer(str(path), device="cpu")
        task = SentenceEmbedding(model)
        assert np.abs(theirs.encode(TEXTS) - task.encode(TEXTS)).max() < 1e-6
        if model.recipe.prompts:
            given = {"prompt_name": "q"}
            expected = theirs.encode(TEXTS[:1], **given)
            assert np.abs(expected - task.encode(TEXTS[:1], **given)).max() < 1e-6
        theirs.save(str(tmp_path / f"theirs-{number}"))
        again = SentenceEmbedding.load(tmp_path / f"theirs-{number}")
        assert_close(again.encode(TEXTS), task.encode(TEXTS))
