"""SavedModels: signatures, numbers, one copy of the weights, nothing half-written."""

import itertools
import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401

import keras_bert
from keras_bert import BertTokenizer, families
from keras_bert.errors import (
    ConfigError,
    ExistingOutputError,
    InputError,
    UnknownNameError,
)
from keras_bert.families.bert import BertConfig
from keras_bert.features import SERVED_INPUTS
from keras_bert.serving.export import export, versions
from keras_bert.serving.graph import model_card, warm_up
from keras_bert.serving.graph.servable import Servable, named_outputs
from keras_bert.serving.predictor import Predictor
from tests.bounds import assert_close
from tests.serving.cases import (
    CASES,
    CHOICES,
    CONFIG,
    ON_PAIRS,
    ON_SINGLE_TEXTS,
    PAIRS,
    TEXTS,
    VOCAB,
    at_tokens,
    make_model,
)
from tests.vocabulary import SPECIAL


@pytest.fixture(scope="module")
def exported(tmp_path_factory, tokenizer):
    """Exports a case once: (Keras model, path, reloaded model)."""
    done = {}

    def get(case):
        if case not in done:
            model = make_model(case)
            directory = tmp_path_factory.mktemp(case)
            path = export(model, directory, tokenizer, max_length=13)
            done[case] = (model, path, tf.saved_model.load(str(path)))
        return done[case]

    return get


# Heads that differ in what is exported; the others take half a minute.
FIRST = ("answers", "choices", "classes", "masked_lm", "states", "tokens")
MOST = [
    case if case in FIRST else pytest.param(case, marks=pytest.mark.slow)
    for case in CASES
]


def features(case, batch, length, seed=0):
    """Random ids with padding, as `serve_ids` takes them."""
    rng = np.random.default_rng(seed)
    shape = (batch, 2, length) if case == "choices" else (batch, length)
    kept = rng.integers(1, length + 1, shape[:-1])[..., None]
    values = (
        rng.integers(0, CONFIG.vocab_size, shape),
        np.arange(length) < kept,
        rng.integers(0, 2, shape),
    )
    return {
        name: np.asarray(value, np.int32)
        for name, value in zip(SERVED_INPUTS, values, strict=True)
    }


def flat(outputs):
    return {k: v.numpy() for k, v in named_outputs(outputs).items()}


def text_inputs(case, count=4):
    inputs = {"text": tf.constant(TEXTS[:count])}
    if case in ON_PAIRS:
        pairs = CHOICES if case == "choices" else PAIRS
        inputs["text_pair"] = tf.constant(pairs[:count])
    return inputs


@pytest.mark.parametrize("case", MOST)
def test_ids_equal_the_keras_model_at_any_batch_and_length(case, exported):
    model, _, loaded = exported(case)
    serve = loaded.signatures["serve_ids"]
    for batch, length in ((1, 5), (3, 11)):
        given = features(case, batch, length)
        expected = flat(model(given))
        received = serve(**{k: tf.constant(v) for k, v in given.items()})
        assert set(received) == set(expected) == CASES[case][2]
        for name, value in expected.items():
            assert received[name].dtype == tf.float32
            assert received[name].shape == value.shape
            assert np.isfinite(received[name]).all()
            mask = given["attention_mask"]
            assert_close(at_tokens(received[name], mask), at_tokens(value, mask))


@pytest.mark.parametrize("case", ["encoder", "tokens", "answers"])
def test_rows_packed_with_pieces_are_computed_as_the_mask_says(case, exported):
    model, _, loaded = exported(case)
    given = features(case, 2, 7)
    given["attention_mask"] = np.array(
        [[1, 1, 2, 2, 2, 3, 0], [1, 1, 1, 1, 0, 0, 0]], np.int32
    )
    received = loaded.signatures["serve_ids"](
        **{k: tf.constant(v) for k, v in given.items()}
    )
    mask = given["attention_mask"]
    for name, value in flat(model(given)).items():
        here, there = at_tokens(received[name], mask), at_tokens(value, mask)
        assert_close(here, there)


@pytest.mark.parametrize("case", CASES)
def test_signatures_have_the_agreed_names_types_and_shapes(case, exported):
    _, _, loaded = exported(case)
    signatures = loaded.signatures
    expected = {"serving_default", "serve_ids", "serve_examples"}
    alone = case in ON_SINGLE_TEXTS
    assert set(signatures) == expected | (set() if alone else {"serve_pairs"})

    ids = signatures["serve_ids"].structured_input_signature
    shape = [None] * (3 if case == "choices" else 2)
    spec = {n: tf.TensorSpec(shape, tf.int32, name=n) for n in SERVED_INPUTS}
    assert ids == ((), spec)

    text = tf.TensorSpec([None], tf.string, name="text")
    rank = 2 if case == "choices" else 1
    pair = tf.TensorSpec([None] * rank, tf.string, name="text_pair")
    pairs = ((), {"text": text, "text_pair": pair})
    if not alone:
        assert signatures["serve_pairs"].structured_input_signature == pairs
    default = pairs if case in ON_PAIRS else ((), {"text": text})
    assert signatures["serving_default"].structured_input_signature == default

    inputs = {"inputs": tf.TensorSpec([None], tf.string, name="inputs")}
    assert signatures["serve_examples"].structured_input_signature == ((), inputs)


@pytest.mark.parametrize("case", MOST)
def test_text_gives_what_its_ids_give(case, exported, tokenizer):
    model, _, loaded = exported(case)
    outputs = CASES[case][3] or CASES[case][2] | set(SERVED_INPUTS)
    for count in (1, 4):
        inputs = text_inputs(case, count)
        answer = loaded.signatures["serving_default"](**inputs)
        assert set(answer) == outputs
        texts, pairs = TEXTS[:count], None
        if case == "choices":
            texts = [text for text in texts for _ in range(2)]
            pairs = [choice for choices in CHOICES[:count] for choice in choices]
        elif case in ON_PAIRS:
            pairs = PAIRS[:count]
        rows = tokenizer(texts, pairs, max_length=13)
        if case == "choices":
            rows = {name: ids.reshape(count, 2, -1) for name, ids in rows.items()}
        expected = flat(model(rows))
        for name in set(answer) & set(expected):
            mask = rows["attention_mask"]
            assert_close(at_tokens(answer[name], mask), at_tokens(expected[name], mask))
        if "scores" in answer:
            scores = expected["logits"][:, 0]
            assert_close(answer["scores"], scores)


@pytest.mark.parametrize("case", CASES)
def test_every_weight_is_stored_once(case, exported):
    model, path, _ = exported(case)
    reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
    types, shapes = (
        reader.get_variable_to_dtype_map(),
        reader.get_variable_to_shape_map(),
    )
    stored = sum(np.prod(s) for n, s in shapes.items() if types[n].is_floating)
    assert stored == sum(np.prod(w.shape) for w in model.weights)
    # Nor may a copy hide in the graph as a constant. The tokenizer's tables can.
    proto = (path / "saved_model.pb").read_bytes()
    for weight in model.weights:
        if weight.value.numpy().any():
            assert weight.value.numpy().tobytes() not in proto


def test_labels_and_probabilities_say_what_the_logits_say(exported):
    _, _, loaded = exported("classes")
    answer = loaded.signatures["serving_default"](text=tf.constant(TEXTS))
    logits = answer["logits"].numpy()
    names = np.array([b"bad", b"fair", b"good"])
    assert answer["label"].numpy().tolist() == names[logits.argmax(-1)].tolist()
    powers = np.exp(logits)
    softmax = powers / powers.sum(-1, keepdims=True)
    assert_close(answer["probabilities"], softmax)


def test_multi_label_probabilities_are_independent(exported):
    _, _, loaded = exported("many_labels")
    answer = loaded.signatures["serving_default"](text=tf.constant(TEXTS))
    sigmoid = 1 / (1 + np.exp(-answer["logits"].numpy()))
    assert_close(answer["probabilities"], sigmoid)


def test_choices_have_one_answer_each(exported):
    answer = exported("choices")[2].signatures["serving_default"](
        **text_inputs("choices")
    )
    assert answer["logits"].shape == (4, 2)
    assert (answer["choice"].numpy() == answer["logits"].numpy().argmax(-1)).all()


def example(**features):
    values = {
        name: tf.train.Feature(
            bytes_list=tf.train.BytesList(
                value=[
                    v.encode() for v in ([value] if isinstance(value, str) else value)
                ]
            )
        )
        for name, value in features.items()
    }
    proto = tf.train.Example(features=tf.train.Features(feature=values))
    return proto.SerializeToString()


EXAMPLE_OUTPUTS = {
    "classes": {"classes", "scores"},
    "many_labels": {"classes", "scores"},
    "next_sentence": {"classes", "scores"},
    "score": {"outputs"},
}


@pytest.mark.parametrize("case", ["classes", "many_labels", "next_sentence", "score"])
def test_examples_suit_the_classify_and_regress_apis(case, exported):
    loaded = exported(case)[2]
    pairs = PAIRS if case in ON_PAIRS else [None] * 4
    serialized = [
        example(text=t, **({"text_pair": p} if p else {}))
        for t, p in zip(TEXTS, pairs, strict=True)
    ]
    received = loaded.signatures["serve_examples"](inputs=tf.constant(serialized))
    answer = loaded.signatures["serving_default"](**text_inputs(case))
    assert set(received) == EXAMPLE_OUTPUTS[case]
    if case == "score":
        assert_close(received["outputs"], answer["scores"])
        return
    assert_close(received["scores"], answer["probabilities"])
    assert received["classes"].shape == received["scores"].shape
    first = received["classes"].numpy()[0].tolist()
    assert first == received["classes"].numpy()[3].tolist()
    assert answer["label"].numpy()[0] == first[np.argmax(received["scores"][0])]


def test_examples_of_multiple_choice_hold_a_list(exported):
    loaded = exported("choices")[2]
    serialized = [
        example(text=t, text_pair=c) for t, c in zip(TEXTS, CHOICES, strict=True)
    ]
    received = loaded.signatures["serve_examples"](inputs=tf.constant(serialized))
    answer = loaded.signatures["serving_default"](**text_inputs("choices"))
    assert_close(received["logits"], answer["logits"])


def test_long_text_is_cut_inside_the_graph(exported):
    loaded = exported("masked_lm")[2]
    long = " ".join(["really"] * 60)
    for inputs in ({"text": [long]}, {"text": [long], "text_pair": [long]}):
        name = "serve_pairs" if "text_pair" in inputs else "serving_default"
        answer = loaded.signatures[name](
            **{k: tf.constant(v) for k, v in inputs.items()}
        )
        ids = answer["input_ids"].numpy()
        assert ids.shape == (1, 13)
        assert ids[0, 0] == VOCAB.index("[CLS]") and ids[0, -1] == VOCAB.index("[SEP]")


HOSTILE = ["", " \n\u200b", b"\xff\xfe a \x80 bad", "a\x00film", "\u0301", "😀" * 40]


@pytest.mark.parametrize("case", CASES)
def test_every_text_has_an_answer(case, exported):
    serve = exported(case)[2].signatures["serving_default"]
    if case in ON_PAIRS:
        combined = list(itertools.product(HOSTILE, HOSTILE))
        text, pair = map(list, zip(*combined, strict=True))
        pair = [[p, "film"] for p in pair] if case == "choices" else pair
        inputs = {"text": text, "text_pair": pair}
    else:
        inputs = {"text": HOSTILE}
    answer = serve(**{name: tf.constant(value) for name, value in inputs.items()})
    for name, value in answer.items():
        value = value.numpy()
        assert len(value) == len(inputs["text"])
        if value.dtype.kind == "f":
            assert np.isfinite(value).all()
        if value.dtype.kind == "O":
            assert all(piece.decode("utf-8") is not None for piece in value.flat), name


@pytest.mark.parametrize("case", CASES)
def test_no_texts_have_no_answers(case, exported):
    serve = exported(case)[2].signatures["serving_default"]
    empty = {"text": tf.zeros([0], tf.string)}
    if case in ON_PAIRS:
        shape = [0, 2] if case == "choices" else [0]
        empty["text_pair"] = tf.zeros(shape, tf.string)
    for value in serve(**empty).values():
        assert value.shape[0] == 0


def test_ids_beyond_the_position_table_are_an_error_that_says_so(exported):
    loaded = exported("classes")[2]
    given = features("classes", 1, CONFIG.max_position_embeddings + 1)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="max_position_embeddings=23"
    ):
        loaded.signatures["serve_ids"](**{k: tf.constant(v) for k, v in given.items()})


@pytest.mark.parametrize(
    ("name", "value", "last"),
    [("input_ids", -1, 36), ("input_ids", 37, 36), ("token_type_ids", 2, 1)],
)
def test_ids_out_of_range_are_an_error_that_says_so(exported, name, value, last):
    given = {k: np.array(v) for k, v in features("classes", 2, 7).items()}
    given[name][1, 2] = value
    message = f"Expected {name} from 0 to {last}"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        exported("classes")[2].signatures["serve_ids"](
            **{k: tf.constant(v) for k, v in given.items()}
        )


def test_inputs_of_unequal_shapes_are_an_error_that_says_so(exported):
    given = {k: tf.constant(v) for k, v in features("classes", 2, 7).items()}
    for name in ("attention_mask", "token_type_ids"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="not of one shape"):
            exported("classes")[2].signatures["serve_ids"](
                **{**given, name: given[name][:, :1]}
            )


@pytest.mark.parametrize(
    "case", ["classes", "answers", "choices", "tokens", "masked_lm"]
)
def test_warm_up_requests_suit_every_signature(case, exported):
    logs = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    _, path, loaded = exported(case)
    assert json.loads((path / model_card.PATH).read_text())["warm_up_requests"]
    seen, names = [], []
    for record in tf.data.TFRecordDataset(str(path / warm_up.PATH)):
        request = logs.PredictionLog.FromString(record.numpy()).predict_log.request
        assert request.model_spec.name == path.parent.name
        inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
        names.append(request.model_spec.signature_name)
        outputs = loaded.signatures[names[-1]](**inputs)
        assert all(value.shape[0] == 1 for value in outputs.values())
        if "input_ids" in outputs:
            seen.append(outputs["input_ids"].shape[-1])
    assert sorted(names) == sorted([*loaded.signatures, *loaded.signatures])
    assert not seen or max(seen) == 13


# === Arguments and files ===


def test_without_a_tokenizer_the_default_takes_ids(tmp_path):
    path = export(make_model("classes"), tmp_path / "model")
    loaded = tf.saved_model.load(str(path))
    assert set(loaded.signatures) == {"serving_default", "serve_ids"}
    inputs = loaded.signatures["serving_default"].structured_input_signature[1]
    assert set(inputs) == set(SERVED_INPUTS)


def test_versions_count_up_and_are_never_overwritten(tmp_path):
    model = make_model("classes")
    directory = tmp_path / "model"
    assert versions(directory) == []
    assert export(model, directory) == directory / "1"
    assert export(model, directory, version=7) == directory / "7"
    assert export(model, directory).name == "8"
    before = (directory / "7" / "saved_model.pb").read_bytes()
    with pytest.raises(ExistingOutputError, match="exists already"):
        export(model, directory, version=7)
    assert (directory / "7" / "saved_model.pb").read_bytes() == before
    assert versions(directory) == [1, 7, 8]
    assert sorted(p.name for p in directory.iterdir()) == ["1", "7", "8"]


def test_the_card_describes_the_export(exported):
    model, path, loaded = exported("classes")
    facts = json.loads((path / model_card.PATH).read_text("utf-8"))
    assert facts["model"] == "BertForSequenceClassification"
    assert facts["task"] == "classification"
    assert facts["labels"] == ["bad", "fair", "good"]
    assert facts["max_length"] == 13
    assert facts["dtype"] == "float32"
    assert facts["parameters"] == sum(np.prod(w.shape) for w in model.weights)
    assert facts["tokenizer"]["vocab_size"] == len(VOCAB)
    assert facts["tokenizer"]["do_lower_case"] is True
    assert "doc_stride" not in facts and facts["embeddings"] is None
    assert facts["tagging_scheme"] is None
    assert BertConfig.from_dict(facts["config"]).num_labels == 3
    for name, signature in loaded.signatures.items():
        told = facts["signatures"][name]
        _, inputs = signature.structured_input_signature
        for side, specs in (
            ("inputs", inputs),
            ("outputs", signature.structured_outputs),
        ):
            received = {n: (s.dtype.name, s.shape.as_list()) for n, s in specs.items()}
            expected = {n: (s["dtype"], s["shape"]) for n, s in told[side].items()}
            assert received == expected


def test_the_card_says_how_long_texts_are_divided(exported):
    facts = json.loads((exported("answers")[1] / model_card.PATH).read_text("utf-8"))
    names = ("doc_stride", "max_question_length", "max_answer_length")
    assert [facts[name] for name in names] == [3, 3, 30]
    facts = json.loads((exported("tokens")[1] / model_card.PATH).read_text("utf-8"))
    assert facts["doc_stride"] == 3 and "max_answer_length" not in facts
    assert facts["tagging_scheme"] == "types without letters"


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"max_length": 24}, ConfigError, "max_position_embeddings=23"),
        ({"max_length": 2}, ConfigError, "from 3"),
        ({"labels": ["a", "b"]}, InputError, "Expected 3 labels"),
        ({"version": 0}, ConfigError, "above 0"),
        ({"version": True}, ConfigError, "above 0"),
        ({"window_pooling": "median"}, UnknownNameError, "mean, max, learned, none"),
        ({"max_answer_length": 4}, ConfigError, "no max_answer_length"),
        ({"embeddings": "mean"}, ConfigError, "Expected an encoder"),
        ({"embeddings": "average"}, UnknownNameError, "mean, max, cls, pooler"),
        ({"normalize": True}, ConfigError, "normalize"),
    ],
)
def test_bad_arguments_are_refused_and_leave_nothing(
    arguments, error, message, tmp_path
):
    with pytest.raises(error, match=message):
        export(make_model("classes"), tmp_path / "model", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_vocabulary_larger_than_the_model_is_refused(tmp_path):
    large = BertTokenizer(SPECIAL + [f"w{i}" for i in range(33)])
    with pytest.raises(InputError, match=r"vocab_size=37.*Received: 38"):
        export(make_model("classes"), tmp_path / "model", large)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "case, arguments, message",
    [
        ("answers", {"pairs": False}, "takes two texts"),
        ("tokens", {"pairs": True}, "takes one text"),
        ("answers", {"max_length": 5}, "max_length from 6"),
        ("tokens", {"doc_stride": 0}, "doc_stride from 1 to 9"),
        ("answers", {"doc_stride": 5, "max_length": 13}, "doc_stride from 1 to 4"),
        ("answers", {"max_answer_length": 0}, "above 0"),
        ("choices", {"doc_stride": 4}, "no doc_stride: multiple choice"),
        ("tokens", {"window_pooling": "mean"}, "no window_pooling: token"),
        ("tokens", {"max_answer_length": 9}, "does not use it"),
    ],
)
def test_arguments_that_do_not_suit_a_head(
    case, arguments, message, tmp_path, tokenizer
):
    with pytest.raises(ConfigError, match=message):
        export(make_model(case), tmp_path / "model", tokenizer, **arguments)
    assert not list(tmp_path.iterdir())


def test_a_pooler_that_is_not_there_is_not_pooled():
    model = keras_bert.BertModel(CONFIG, add_pooling_layer=False)
    with pytest.raises(ConfigError, match="pooler"):
        Servable(model, None, embeddings="pooler")


def test_an_export_that_fails_midway_leaves_nothing(tmp_path, monkeypatch):
    def fail(path, facts):
        assert (path.parent.parent / "saved_model.pb").exists()  # almost done
        raise OSError("disk full")

    monkeypatch.setattr(model_card, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        export(make_model("classes"), tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_pairs_become_the_default_where_asked_or_known(tokenizer):
    config = CONFIG.replace(extra={"finetuning_task": "MNLI"})
    known = keras_bert.BertForSequenceClassification(config)
    plain = make_model("classes")
    cases = [(known, None, True), (known, False, False), (plain, None, False)]
    for model, pairs, expected in [*cases, (plain, True, True)]:
        servable = Servable(model, tokenizer, None, None, pairs)
        assert servable.pairs == expected


def test_sixteen_bit_models_answer_in_float32(tmp_path):
    model = keras_bert.BertModel(CONFIG, dtype="mixed_bfloat16", seed=7)
    loaded = tf.saved_model.load(str(export(model, tmp_path)))
    outputs = loaded.signatures["serve_ids"].structured_outputs
    assert {spec.dtype for spec in outputs.values()} == {tf.float32}


# === In process ===


def test_predictor_answers_as_the_export_in_smaller_batches(exported, tokenizer):
    model, _, loaded = exported("classes")
    served = loaded.signatures["serving_default"](text=tf.constant(TEXTS))
    rows = Predictor(model, tokenizer, max_length=13, batch_size=3)(TEXTS)
    assert [row["label"] for row in rows] == served["label"].numpy().tolist()
    logits = np.stack([row["logits"] for row in rows])
    assert_close(logits, served["logits"])


def test_predictor_on_pairs_and_on_nothing(exported, tokenizer):
    predict = Predictor(exported("choices")[0], tokenizer, max_length=13)
    rows = predict(TEXTS, CHOICES)
    assert [row["logits"].shape for row in rows] == [(2,)] * 4
    assert predict([], []) == []
    for wrong in ((TEXTS,), ("text", CHOICES), (TEXTS, CHOICES[:3])):
        with pytest.raises(InputError):
            predict(*wrong)


def test_every_case_has_a_head_and_every_model_a_case():
    covered = {name for name, *_ in CASES.values()}
    assert covered == set(families.of("bert").models)
    assert len(set(itertools.chain(CASES, ON_PAIRS))) == len(CASES)


# === Weights in the dtype they are used in ===


def of_policy(name, policy, **options):
    """Returns a model whose LayerNorms have weights of many digits."""
    model = getattr(keras_bert, name)(CONFIG, dtype=policy, seed=7, **options)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        noise = rng.normal(0, 0.3, weight.shape).astype(np.float32)
        weight.assign(weight.value + noise)
    return model


@pytest.mark.parametrize(
    ("name", "policy", "narrow"),
    [
        ("BertForMaskedLM", "mixed_bfloat16", tf.bfloat16),
        pytest.param(
            "BertForTokenClassification",
            *("mixed_float16", tf.float16),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_weights_of_16_bits_give_the_same_bits(
    name, policy, narrow, tmp_path, tokenizer
):
    model = of_policy(name, policy)
    path = export(model, tmp_path, tokenizer)
    assert json.loads((path / model_card.PATH).read_text("utf-8"))["dtype"] == policy
    loaded = tf.saved_model.load(str(path))
    texts = {"text": tf.constant(TEXTS)}
    received = loaded.signatures["serving_default"](**texts)
    rounding = Servable(model, tokenizer).on_text(pairs=False)
    for key, expected in rounding(**texts).items():
        np.testing.assert_array_equal(received[key], expected)

    wide = {"gamma", "beta", "classifier"}  # LayerNorm and classifiers: float32
    expected = [
        (w.shape, tf.float32 if wide & set(w.path.split("/")) else narrow)
        for w in model.weights
    ]
    assert [(tuple(v.shape), v.dtype) for v in loaded.weights] == expected
    stored = tf.train.load_checkpoint(str(tmp_path / "1/variables/variables"))
    dtypes = stored.get_variable_to_dtype_map().values()
    floats = sorted(d.name for d in dtypes if d.is_floating)
    assert floats == sorted(dtype.name for _, dtype in expected)  # each once


def test_a_model_that_lives_on_is_not_copied(tokenizer):
    model = of_policy("BertForSequenceClassification", "mixed_bfloat16")
    predict = Predictor(model, tokenizer)
    before = predict(["a film"])[0]["logits"]
    model.set_weights([0 * value for value in model.get_weights()])
    assert before.any() and not predict(["a film"])[0]["logits"].any()


def test_a_float32_export_holds_the_weights_themselves():
    model = of_policy("BertModel", "float32")
    servable = Servable(model, None, round_weights=True)
    held = servable.state().weights
    assert all(v is w.value for v, w in zip(held, model.weights, strict=True))
