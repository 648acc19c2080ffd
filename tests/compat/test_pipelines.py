"""Pipelines against those of `transformers` 4.57, called as scripts call them."""

import json

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras_bert
from keras_bert.errors import (
    CheckpointError,
    InputError,
    KerasBertError,
    UnknownNameError,
)
from keras_bert.transformers import (
    AutoTokenizer,
    BertTokenizerFast,
    NerPipeline,
    pipeline,
)
from keras_bert.transformers.configs import CONFIGS
from keras_bert.transformers.models import TF_MODELS
from keras_bert.transformers.pipelines import computation
from keras_bert.transformers.pipelines.pt_utils import KeyDataset, KeyPairDataset
from tests.bounds import ULPS, assert_close
from tests.compat.make_golden_pipelines import PATH
from tests.compat.pipeline_calls import (
    LONGEST,
    MODELS,
    SIZES,
    TAGS,
    answer,
    calls,
    fill,
    in_json,
)
from tests.compat.tokenizer_calls import LONG, SHORT, VOCAB

GOLDEN = json.loads(PATH.read_text("utf-8"))
CALLS = {call.name: call for call in calls()}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of a model and its tokenizer, by task."""
    made = {}
    for task, (name, labels) in MODELS.items():
        folder = made[task] = tmp_path_factory.mktemp(task)
        config = CONFIGS["bert"](**SIZES, id2label=dict(enumerate(labels)))
        TF_MODELS[f"TFBert{name}"](config, seed=1).save_pretrained(folder)
        fill(folder)
        tokenizer = BertTokenizerFast(VOCAB, model_max_length=LONGEST)
        tokenizer.save_pretrained(folder)
    return made


@pytest.fixture(scope="module")
def pipes(folders):
    return {task: pipeline(task, folder) for task, folder in folders.items()}


@pytest.fixture(scope="module")
def make(pipes):
    def make(task, **options):
        model, tokenizer = pipes[task].model, pipes[task].tokenizer
        return pipeline(task, model, tokenizer=tokenizer, **options)

    return make


# Probabilities follow from differences of logits, which are larger than 1.
LOOSE = 2 * ULPS


def assert_same(found, expected, place=""):
    """Fails where results differ in form, in names, or by more than rounding."""
    assert isinstance(found, type(expected)), (place, found, expected)
    if isinstance(expected, float):
        assert_close(found, expected, LOOSE, place)
    elif isinstance(expected, dict):
        assert list(found) == list(expected), place
        for key, value in expected.items():
            assert_same(found[key], value, f"{place} {key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), (place, found, expected)
        if expected and isinstance(expected[0], float):
            assert all(isinstance(value, float) for value in found), place
            assert_close(found, expected, LOOSE, place)
            return
        for index, value in enumerate(expected):
            assert_same(found[index], value, f"{place} {index}")
    else:
        assert found == expected, place


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_calls_return_what_transformers_does(make, name):
    assert_same(answer(make, CALLS[name], KerasBertError), GOLDEN[name])


def test_most_calls_return_something():
    errors = [name for name, found in GOLDEN.items() if found == "an error"]
    assert CALLS.keys() == GOLDEN.keys() and len(GOLDEN) > 390
    assert len(errors) < 70


# === What it is made of ===


def test_the_task_follows_from_the_model(folders, pipes):
    for task, folder in list(folders.items())[:-1]:  # the last has the head of another
        assert pipeline(model=str(folder)).task == task
        model, tokenizer = pipes[task].model, pipes[task].tokenizer
        assert type(pipeline(model=model, tokenizer=tokenizer)) is type(pipes[task])


def test_a_pipeline_has_the_name_it_was_made_with(pipes):
    pipe = pipes["token-classification"]
    assert pipeline("ner", pipe.model, tokenizer=pipe.tokenizer).task == "ner"
    made = NerPipeline(model=pipe.model, tokenizer=pipe.tokenizer)
    assert made.task == "token-classification" and made(SHORT) == pipe(SHORT)


@pytest.mark.parametrize("task", [*MODELS])
def test_models_and_tokenizers_of_the_package_are_taken(folders, pipes, task):
    """A model that is called without names, a tokenizer without offsets."""
    native = getattr(keras_bert, f"Bert{MODELS[task][0]}")
    model = native.from_pretrained(folders[task])
    tokenizer = keras_bert.BertTokenizer.from_pretrained(folders[task])
    options = {"candidate_labels": ["cat", "on"]} if task.startswith("zero") else {}
    args = {
        "question-answering": ("cat?", LONG),
        "fill-mask": ("The [MASK] sat.",),
    }.get(task, (SHORT,))
    expected = in_json(pipes[task](*args, **options))
    made = pipeline(task, model, tokenizer=tokenizer)
    assert_same(in_json(made(*args, **options)), expected)
    model.tokenizer = tokenizer
    assert_same(in_json(pipeline(task, model)(*args, **options)), expected)


def test_a_model_alone_has_no_tokenizer(folders, pipes):
    made = TF_MODELS["TFBertModel"](CONFIGS["bert"](**SIZES), seed=1)
    with pytest.raises(InputError, match="AutoTokenizer"):
        pipeline(model=made)
    read = TF_MODELS["TFBertModel"].from_pretrained(folders["feature-extraction"])
    expected = pipes["feature-extraction"](LONG)
    assert_same(pipeline(model=read)(LONG), expected)


def test_a_model_without_token_types_takes_a_tokenizer_with_them():
    config = CONFIGS["distilbert"](**SIZES)
    model = TF_MODELS["TFDistilBertForSequenceClassification"](config, seed=1)
    pipe = pipeline(model=model, tokenizer=BertTokenizerFast(VOCAB))
    assert pipe({"text": "cat", "text_pair": "dog"})["score"] > 0.5


def test_a_pretraining_model_fills_masks(folders, pipes):
    model = TF_MODELS["TFBertForPreTraining"].from_pretrained(folders["fill-mask"])
    made = pipeline("fill-mask", model, tokenizer=pipes["fill-mask"].tokenizer)
    texts = ["The [MASK] sat.", "[MASK] cat [MASK]"]
    assert_same(made(texts), pipes["fill-mask"](texts))


@pytest.mark.parametrize("task", ["text-classification", "feature-extraction"])
def test_the_form_of_outputs_makes_no_difference(folders, pipes, task):
    values = {"return_dict": False, "output_hidden_states": True}
    made = pipeline(task, folders[task], model_kwargs=values)
    assert isinstance(made.model(np.array([[2, 3]])), tuple)
    assert_same(made(SHORT), pipes[task](SHORT))


def test_tokenizers_of_transformers_are_taken(tmp_path):
    """Of a family whose tokenizer this package has not."""
    theirs = pytest.importorskip("transformers")
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *"abcdefghij,", "Ġ"]
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = theirs.RobertaTokenizerFast(vocab=vocab, merges=[])
    values = {**SIZES, "vocab_size": len(vocab), "id2label": dict(enumerate(TAGS))}
    config = CONFIGS["roberta"](**values, pad_token_id=1, initializer_range=0.3)
    for task, text, options in (
        ("token-classification", "ab, cd", {"aggregation_strategy": "first"}),
        ("fill-mask", "ab <mask> <mask>", {"top_k": 2}),
    ):
        cls = f"TFRoberta{MODELS[task][0]}"
        model = TF_MODELS[cls](config, seed=3)
        model.save_pretrained(tmp_path / task)
        with pytest.raises(KerasBertError, match="that of transformers"):
            pipeline(task, tmp_path / task)
        torch_model = getattr(theirs, cls[2:]).from_pretrained(tmp_path / task)
        other = theirs.pipeline(task, model=torch_model, tokenizer=tokenizer)
        made = pipeline(task, model, tokenizer=tokenizer)
        expected = in_json(other(text, **options))
        assert_same(in_json(made(text, **options)), expected)


def test_what_is_saved_is_loaded(folders, pipes, tmp_path):
    pipes["text-classification"].save_pretrained(tmp_path / "own")
    native = keras_bert.BertForSequenceClassification.from_pretrained(
        folders["text-classification"]
    )
    tokenizer = pipes["text-classification"].tokenizer
    pipeline(model=native, tokenizer=tokenizer).save_pretrained(tmp_path / "native")
    expected = pipes["text-classification"](LONG)
    for name in ("own", "native"):
        assert_same(pipeline(model=tmp_path / name)(LONG), expected)


def test_precision_and_config_reach_the_model(folders):
    folder = folders["text-classification"]
    names = {0: "a", 1: "b", 2: "c"}
    pipe = pipeline(
        "sentiment-analysis",
        folder,
        tokenizer=(folder, {"use_fast": False}),
        torch_dtype="torch.bfloat16",
        model_kwargs={"id2label": names},
        device=-1,
    )
    assert pipe.model.dtype_policy.compute_dtype == "bfloat16"
    assert {each["label"] for each in pipe(SHORT, top_k=None)} == {*"abc"}


@pytest.mark.parametrize("device", [None, -1, "cpu", 0, "cuda", "cuda:0", "gpu:0"])
def test_devices_are_taken_by_number_and_name(make, device):
    made = make("text-classification", device=device)
    assert_same(made(SHORT), GOLDEN["text-classification: list of one"])


# === Batches and streams ===


def test_batches_do_not_change_results(make):
    texts = [SHORT, LONG, "cat", "", "他明白是的"]
    pipe = make("feature-extraction")
    expected = pipe(texts, batch_size=1)
    assert [len(found[0]) for found in expected] == [6, 24, 3, 2, 7]
    assert_same(pipe(texts), expected)
    assert_same(list(pipe(iter(texts), batch_size=3)), expected)


def test_a_stream_is_read_as_far_as_it_is_needed(make):
    read = []
    texts = (read.append(text) or text for text in (SHORT, LONG, "cat"))
    results = make("text-classification")(texts)
    assert read == []
    next(results)
    assert read == [SHORT]


def test_columns_of_a_dataset_are_streams(make):
    rows = [{"a": SHORT, "b": LONG}, {"a": "cat", "b": "dog"}]
    pipe = make("text-classification")
    assert_same(list(pipe(KeyDataset(rows, "a"))), pipe([SHORT, "cat"]))
    pairs = [{"text": row["a"], "text_pair": row["b"]} for row in rows]
    found = list(pipe(KeyPairDataset(rows, "a", "b"), batch_size=2))
    assert_same(found, pipe(pairs))


@pytest.mark.parametrize("task", [*MODELS])
def test_nothing_comes_of_nothing(make, task):
    assert make(task)([]) == []
    assert list(make(task)(iter([]))) == []


def test_a_graph_computes_the_same_and_follows_the_weights(folders, monkeypatch):
    texts = ["The [MASK] sat.", "[MASK] dog [MASK]", f"{LONG} [MASK]", "他[MASK]是的"]
    pipe = pipeline("fill-mask", folders["fill-mask"])
    expected = pipe(texts)
    monkeypatch.setattr(computation, "EAGER_BATCHES", 0)
    assert_same(pipe(texts, batch_size=1), expected)
    assert pipe._compute._graph.experimental_get_tracing_count() == 1
    weight = pipe.model.get_input_embeddings().embeddings
    weight.assign(weight * 2)
    assert pipe(texts[0]) != expected[0]
    weight.assign(weight / 2)
    pipe.tokenizer.add_tokens(["newa"])
    pipe.model.resize_token_embeddings(len(pipe.tokenizer), seed=1)
    (found,) = pipe("The [MASK] sat newa", targets="newa")
    assert found["token"] == len(VOCAB)


# === Errors ===


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("text-generation", "encoders: text-classification.*other libraries"),
        ("translation_en_to_de", "translate"),
        ("summarization", "summarize"),
        ("image-classification", "images"),
        ("nre", "sentiment-analysis, ner"),
    ],
)
def test_tasks_of_other_models_are_refused(task, words):
    with pytest.raises(UnknownNameError, match=words):
        pipeline(task)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": None, "task": "fill-mask"}, "Expected a model.*'fill-mask'"),
        ({"model": None, "task": None}, "Expected a model"),
        ({"model": np.zeros(3), "task": "ner"}, "model of keras_bert.*ndarray"),
        ({"tokenizer": 3}, "a fast one"),
        ({"task": "ner"}, "token_classification.*sequence_classification"),
        ({"framework": "pt"}, "framework='pt'"),
        ({"device_map": "balanced"}, "device=0"),
        ({"batch_size": 0}, "batch_size"),
        ({"device": "mps"}, "number of a GPU.*mps"),
        ({"top_p": 1}, "top_p"),
        ({"function_to_apply": "relu"}, "softmax"),
        ({"inputs": [SHORT, 7]}, "Text 1: Expected a text.*7"),
        ({"inputs": [SHORT, LONG, LONG * 3]}, "Text 2: expected at most 40.*truncat"),
        ({"inputs": iter([SHORT, LONG * 3])}, "Text 1"),
        ({"inputs": {"txt": SHORT}}, "'text'"),
        ({"inputs": {"text": 7}}, "under 'text'"),
        ({"inputs": ["cat", ["cat", "dog"]]}, "Text 1.*list"),
        ({"inputs": 7}, "text or texts"),
        ({"inputs": b"cat"}, "b'cat'"),
        ({"top_k": 0}, "top_k of 1 or more"),
        ({"top_k": "2"}, "top_k of 1 or more"),
    ],
)
def test_errors_say_what_to_do(pipes, options, words):
    pipe = pipes["text-classification"]
    made_with = {"task": "sentiment-analysis", "model": pipe.model, **options}
    made_with.setdefault("tokenizer", pipe.tokenizer)
    inputs = made_with.pop("inputs", SHORT)
    with pytest.raises(KerasBertError, match=words):
        list(pipeline(**made_with)(inputs))


@pytest.mark.parametrize(
    ("task", "args", "options", "words"),
    [
        ("fill-mask", (SHORT,), {}, r"\[MASK\]"),
        ("fill-mask", ("[MASK]",), {"targets": [3]}, "targets as strings"),
        ("fill-mask", ("[MASK]",), {"top_k": 0}, "top_k"),
        ("question-answering", ({"question": "a"},), {}, "'context'"),
        ("fill-mask", ("[MASK]",), {"targets": 3}, "targets as strings"),
        ("question-answering", (), {"question": "a", "context": "\0"}, "with words"),
        ("question-answering", (), {"question": "", "context": "a"}, "a question"),
        ("question-answering", (), {"doc_stride": -1}, "doc_stride of 0"),
        ("question-answering", (), {"max_seq_len": "9"}, "max_seq_len of 1"),
        ("question-answering", (), {"question": "a"}, "Received: .*question"),
        ("zero-shot-classification", ("a",), {}, "candidate_labels"),
        ("zero-shot-classification", ("a", ["b"]), {"multi": 1}, "multi_label"),
        ("zero-shot-classification", ("a", ["b"]), {"hypothesis_template": "{x}"}, "x"),
        ("token-classification", ("a",), {"stride": "3"}, "stride of 0"),
        ("feature-extraction", ("a",), {"tokenize_kwargs": 3}, "a dict"),
        ("token-classification", ("a",), {"aggregation_strategy": "x"}, "average"),
        ("feature-extraction", ("a",), {"return_overflowing_tokens": True}, "one row"),
    ],
)
def test_errors_of_tasks_say_what_to_do(make, task, args, options, words):
    if task.startswith("question") and not (args or "question" in options):
        args = ({"question": "a", "context": "b"},)
    with pytest.raises(KerasBertError, match=words):
        make(task)(*args, **options)


def test_one_label_may_be_ignored_as_a_string(make):
    made = make("token-classification")
    assert made(LONG, ignore_labels="O") == made(LONG) != made(LONG, ignore_labels=[])


@pytest.mark.parametrize("name", ["preprocess", "_forward", "postprocess"])
def test_methods_that_are_never_called_are_refused(name):
    with pytest.raises(UnknownNameError, match=f"answer.*{name}.*of Own"):
        type("Own", (NerPipeline,), {name: None})


def test_a_model_without_entailment_is_warned_of(pipes, caplog):
    pipe = pipes["text-classification"]
    pipeline("zero-shot-classification", pipe.model, tokenizer=pipe.tokenizer)
    assert "'so'" in caplog.text and "entail" in caplog.text


def test_a_model_taken_by_default_is_said(monkeypatch, caplog):
    def found(name, **options):
        raise CheckpointError(f"{name} {options['revision']}")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", found)
    with pytest.raises(CheckpointError, match="sst-2-english 714eb0f"):
        pipeline("sentiment-analysis")
    assert "sst-2-english" in caplog.text
