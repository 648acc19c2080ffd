"""What may be given as inputs and labels, and what is refused in which words."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_bert.errors import InputError, UnknownNameError
from keras_bert.models import MODELS
from tests.bounds import assert_close
from tests.cases import CASES, CONFIG

TINY = CONFIG.replace(
    num_hidden_layers=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
)
ON_TORCH = keras.backend.backend() == "torch"
IDS = np.random.default_rng(0).integers(1, 99, (4, 6)).astype("int32")
ONES, ZEROS = np.ones_like(IDS), np.zeros_like(IDS)


def _model(head, eagerly=True, config=TINY, **options):
    model = MODELS[f"BertFor{head}"](config, seed=1)
    model.compile(run_eagerly=eagerly, **options)
    return model


@pytest.fixture(scope="module")
def classifier():
    return _model("SequenceClassification")


@pytest.fixture(scope="module")
def tagger():
    return _model("TokenClassification")


@pytest.fixture(scope="module")
def reader():
    return _model("QuestionAnswering")


@pytest.fixture(scope="module")
def pretrainer():
    return _model("PreTraining")


def _numpy(x):
    return ops.convert_to_numpy(x)


def _with(place, value, array=IDS):
    array = np.array(array)
    array = array.astype(np.result_type(array, np.array(value).dtype))
    array[place] = value
    return array


# === Forms of inputs ===

FORMS = {
    "lists": IDS.tolist(),
    "floats": IDS.astype("float32"),
    "64 bits": IDS.astype("int64"),
    "objects": IDS.astype(object),
    "by position": [IDS, ONES, ZEROS],
    "lists by position": (IDS.tolist(), ONES.tolist()),
    "booleans": {"input_ids": IDS, "attention_mask": ONES.astype(bool)},
    "one row of positions": {"input_ids": IDS, "position_ids": np.arange(6)[None]},
    "a tensor of floats": ops.convert_to_tensor(IDS.astype("float32")),
    "Google's names": {"input_ids": IDS, "input_mask": ONES, "segment_ids": ZEROS},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_inputs_mean_the_same(classifier, form):
    expected = _numpy(classifier(IDS))
    np.testing.assert_array_equal(_numpy(classifier(FORMS[form])), expected)


@pytest.mark.parametrize("form", ["lists", "by position", "lists by position"])
def test_fit_and_predict_take_lists(classifier, form):
    expected = classifier.predict(IDS, verbose=0)
    np.testing.assert_array_equal(classifier.predict(FORMS[form], verbose=0), expected)
    evaluated = classifier.evaluate(FORMS[form], [0, 1, 2, 3], verbose=0)
    assert evaluated == classifier.evaluate(IDS, np.arange(4), verbose=0)


def test_choices_by_position():
    model = _model("MultipleChoice")
    features = CASES["BertForMultipleChoice"].features()
    listed = [features[k].tolist() for k in features]
    np.testing.assert_array_equal(_numpy(model(listed)), _numpy(model(features)))


def test_a_batch_of_no_rows_gives_no_rows(classifier):
    assert tuple(classifier(IDS[:0]).shape) == (0, 5)


WRONG = {
    "id": (
        _with((1, 2), 99),
        "input_ids from 0 to 98. Received: 99 in row 1, column 2",
    ),
    "negative id": (_with((3, 0), -1), "Received: -1 in row 3, column 0"),
    "an id of 33 bits": (_with((1, 2), 2**32 + 5), "Received: 4294967301 in row 1"),
    "a huge id": ([[1, 10**19]], "input_ids in integers. Received: 1e.19 in row 0"),
    "half an id": (
        IDS + 0.5,
        "input_ids in integers. Received: .*5 in row 0, column 0",
    ),
    "NaN": (_with((2, 1), np.nan), "Received: nan in row 2, column 1"),
    "a tensor": (ops.convert_to_tensor(_with((1, 2), 99)), "99 in row 1, column 2"),
    "text": (["ok", "a film"], "Received: 'ok' in row 0. Texts have to be tokenized"),
    "an array of text": (np.array([["a", "b"]]), "Received: 'a' in row 0, column 0"),
    "one text": ("a film", "Received: 'a film' .*tokenized"),
    "None": ([[1, 2], [3, None]], "Received: None in row 1, column 1"),
    "rows of several lengths": ([[1, 2], [3]], "rows of one length"),
    "no tokens": (IDS[:, :0], "at least one token"),
    "no batch": (IDS[0], "shape .batch, seq.. Received: shape .6,."),
    "a number": (5, "shape .batch, seq."),
    "five inputs": ([IDS] * 5, "at most 4 inputs by position"),
    "another length": ([IDS, ONES[:, 1:]], "attention_mask of the shape of input_ids"),
    "other rows": ([IDS, ONES[1:]], "attention_mask of the shape of input_ids"),
    "an additive mask": ([IDS, ONES * -10000], "attention_mask .*Received: -10000"),
    "types": (
        [IDS, ONES, ONES * 3],
        "token_type_ids from 0 to 2. Received: 3 in row 0",
    ),
    "positions": (
        {"input_ids": IDS, "position_ids": IDS * 0 + 19},
        "position_ids from",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_inputs_that_cannot_be_used_are_named(classifier, case):
    inputs, message = WRONG[case]
    methods = [classifier, classifier.encoder, classifier.predict_on_batch]
    for method in methods[: 1 if case == "a number" else None]:
        with pytest.raises(InputError, match=message):
            method(inputs)


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch"])
def test_every_way_in_is_checked(classifier, method):
    given = {} if "batch" in method else {"verbose": 0}
    call = getattr(classifier, method)
    with pytest.raises(InputError, match=r"99 in row 1, column 2"):
        call(_with((1, 2), 99), np.arange(4), **given)
    with pytest.raises(InputError, match=r"labels from 0 to 4.*Received: 7 in row 2"):
        call(IDS, np.array([0, 1, 7, 3]), **given)
    with pytest.raises(InputError, match=r"Received: 'ok' in row 0"):
        call(["ok", "a film"], [0, 1], **given)
    if method != "train_on_batch":
        with pytest.raises(InputError, match=r"at least one row"):
            call(IDS[:0], np.zeros(0), **given)


def test_held_out_data_is_checked_before_training(classifier):
    before = classifier.get_weights()
    for held in ((IDS + 50, np.arange(4)), (IDS, np.arange(4) + 2)):
        with pytest.raises(InputError, match=r"Received: .* in row"):
            classifier.fit(IDS, np.arange(4), validation_data=held, verbose=0)
    for a, b in zip(before, classifier.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_positions_of_predictions_are_checked(pretrainer):
    inputs = {"input_ids": IDS, "masked_lm_positions": _with((2, 1), 6, IDS[:, :3] % 6)}
    with pytest.raises(
        InputError, match=r"masked_lm_positions from 0 to 5.*row 2, col"
    ):
        pretrainer(inputs)
    with pytest.raises(InputError, match=r"cls_positions from 0 to 5.*Received: 6"):
        pretrainer({"input_ids": IDS, "cls_positions": ZEROS[:, :2] + 6})


# === Labels ===


@pytest.mark.parametrize("value", [-1, 5, 1.7, np.nan, np.inf, -99, "good", None])
def test_labels_out_of_range_are_refused(classifier, value):
    labels = [0, 1, value, 3] if value is None else _with(2, value, [0, 1, 2, 3])
    with pytest.raises(InputError, match=r"labels.*Received: .* in row"):
        classifier.evaluate(IDS, labels, verbose=0)


def test_labels_may_change_their_shape():
    model = _model("SequenceClassification", eagerly=False)
    labels = np.array([0, 4, 2, 3])
    for given in (labels[:, None], labels):
        model.evaluate(IDS, given, verbose=0)
    if keras.backend.backend() == "tensorflow":
        with pytest.raises(InputError, match=r"axes is known.*ensure_shape.*compile"):
            model.evaluate(IDS, np.eye(5, dtype=int)[labels], verbose=0)


def test_labels_have_no_imaginary_part(classifier):
    with pytest.raises(InputError, match=r"labels.*Received: .*j.* in row 0"):
        classifier.evaluate(IDS, np.array([0, 1, 1j, 3]), verbose=0)


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch"])
def test_labels_are_asked_for(classifier, method):
    with pytest.raises(InputError, match=r"Expected labels of logits.*Received: none"):
        getattr(classifier, method)(IDS)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32", "float64", "object"])
def test_labels_may_have_any_type_of_number(classifier, dtype):
    labels = np.array([0, 4, 2, 3])
    expected = classifier.evaluate(IDS, labels, verbose=0)
    assert classifier.evaluate(IDS, labels.astype(dtype), verbose=0) == expected
    assert (
        classifier.evaluate(IDS, labels[:, None].astype(dtype), verbose=0) == expected
    )


def test_booleans_are_classes_and_sides(classifier):
    evaluate = classifier.evaluate
    one = evaluate(IDS, np.array([True, False, True, True]), verbose=0)
    assert one == evaluate(IDS, np.array([1, 0, 1, 1]), verbose=0)
    wide = np.arange(20).reshape(4, 5) % 3 == 0
    on_or_off = evaluate(IDS, wide, verbose=0)
    assert on_or_off == evaluate(IDS, wide.astype("float32"), verbose=0)


def test_labels_of_tokens(tagger):
    labels = _with((1, slice(3, 6)), -100, IDS % 5)
    loss = tagger.evaluate(IDS, labels, verbose=0)
    assert np.isfinite(loss).all()
    with pytest.raises(InputError, match=r"0 to 4.*Received: 5 in row 3, column 1"):
        tagger.evaluate(IDS, _with((3, 1), 5, labels), verbose=0)
    with pytest.raises(InputError, match=r"labels of shape \(4, 6\). Received: \(4, 5"):
        tagger.evaluate(IDS, labels[:, :5], verbose=0)
    with pytest.raises(InputError, match=r"labels of shape \(4, 6\). Received: \(4,"):
        tagger.evaluate(IDS, labels[:, 0], verbose=0)


def test_labels_of_positions(reader):
    start, end = np.array([0, 1, 5, 2]), np.array([3, 3, 5, -100])
    by_name = {"end_logits": end, "start_logits": start}
    expected = reader.evaluate(IDS, by_name, verbose=0)
    for labels in ([start, end], (start.tolist(), end)):  # not in alphabetical order
        assert reader.evaluate(IDS, labels, verbose=0) == expected
    weights = {"start_logits": np.ones(4)}
    weighted = reader.evaluate(IDS, by_name, sample_weight=weights, verbose=0)
    assert weighted == pytest.approx(expected)
    with pytest.raises(
        InputError, match=r"labels of end_logits from 0 to 5.*Received: 6"
    ):
        reader.evaluate(IDS, [start, end + 3], verbose=0)
    for labels in ({"start_logits": start}, np.stack([start, end], 1)):
        with pytest.raises(InputError, match=r"labels of start_logits, end_logits"):
            reader.evaluate(IDS, labels, verbose=0)


def test_labels_of_masked_tokens(pretrainer):
    inputs = {"input_ids": IDS, "masked_lm_positions": IDS[:, :3] % 6}
    tokens, sentences = IDS[:, :3], np.array([0, 1, 1, 0])
    pretrainer.evaluate(inputs, [tokens, sentences], verbose=0)
    for wrong, message in (
        ([tokens + 50, sentences], "labels of prediction_logits from 0 to 98"),
        ([tokens, sentences + 1], "labels of seq_relationship_logits from 0 to 1"),
        ([IDS, sentences], r"prediction_logits of shape \(4, 3\). Received: \(4, 6\)"),
    ):
        with pytest.raises(InputError, match=message):
            pretrainer.evaluate(inputs, wrong, verbose=0)


def test_numbers_to_regress_are_finite():
    model = _model("SequenceClassification", config=TINY.replace(num_labels=1))
    labels = np.array([0.5, -100, 2, 7])  # -100 is a number like others
    assert np.isfinite(model.evaluate(IDS, labels, verbose=0)).all()
    for value in (np.nan, np.inf):
        with pytest.raises(
            InputError, match=f"finite numbers. Received: {value} in row"
        ):
            model.evaluate(IDS, _with(1, value, labels), verbose=0)


def test_sides_are_from_0_to_1(classifier):
    labels = np.arange(20).reshape(4, 5) % 2
    for value in (2, -1, np.nan):
        with pytest.raises(InputError, match=r"from 0 to 1.*in row 2, column 3"):
            classifier.evaluate(IDS, _with((2, 3), value, labels), verbose=0)
    loss, _ = classifier.evaluate(IDS, _with((2, 3), -100, labels), verbose=0)
    weights = _with((2, 3), 0, np.ones((4, 5)))
    without, _ = classifier.evaluate(IDS, labels, sample_weight=weights, verbose=0)
    assert loss == pytest.approx(without)


# === Labels among the inputs, as in transformers ===


class Batches(keras.utils.PyDataset):
    """Batches that nobody looks into before the step."""

    def __init__(self, *batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, number):
        return self.batches[number]


def test_labels_among_the_inputs_train():
    batch, labels = {"input_ids": IDS, "labels": np.arange(4)}, np.arange(4)
    options = dict(shuffle=False, verbose=0)
    model = _model("SequenceClassification")
    history = model.fit(batch, validation_data=batch, **options).history
    other = _model("SequenceClassification")
    held = IDS, labels
    expected = other.fit(IDS, labels, validation_data=held, **options).history
    for key, value in expected.items():
        assert history[key] == pytest.approx(value, rel=1e-5), key
    in_graph = _model("SequenceClassification", eagerly=False, optimizer="sgd")
    history = in_graph.fit(Batches(batch), verbose=0).history
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert in_graph.predict(Batches(batch), verbose=0).shape == (4, 5)


def test_names_of_labels_in_transformers(reader, pretrainer):
    start, end = np.array([0, 1, 5, 2]), np.array([3, 3, 5, 0])
    given = {"input_ids": IDS, "start_positions": start, "end_positions": end}
    expected = reader.evaluate(IDS, [start, end], verbose=0)
    assert reader.evaluate(given, verbose=0) == expected
    given = {"input_ids": IDS, "labels": IDS, "next_sentence_label": start % 2}
    expected = pretrainer.evaluate(IDS, [IDS, start % 2], verbose=0)
    assert pretrainer.evaluate(given, verbose=0) == expected


def test_labels_are_given_once_and_to_whom_they_belong(classifier):
    given = {"input_ids": IDS, "labels": [0, 1, 2, 9]}
    with pytest.raises(InputError, match=r"labels from 0 to 4.*9 in row 3"):
        classifier.fit(given, verbose=0)
    with pytest.raises(InputError, match=r"labels once"):
        classifier.fit(given, np.arange(4), verbose=0)
    with pytest.raises(UnknownNameError, match=r"start_positions"):
        classifier.fit({"input_ids": IDS, "start_positions": [0] * 4}, verbose=0)
    assert classifier.predict(given, verbose=0).shape == (4, 5)  # not looked at


# === Where values cannot be seen ===


@pytest.mark.skipif(ON_TORCH, reason="there every value is seen")
def test_what_is_out_of_range_in_a_graph_makes_the_loss_nan():
    model = _model("SequenceClassification", eagerly=False)
    right = np.arange(4)
    for inputs, labels in (
        ({"input_ids": IDS}, _with(2, -1, right)),
        ({"input_ids": IDS}, _with(2, 5, right)),
        ({"input_ids": _with((1, 2), -1)}, right),
        ({"input_ids": _with((1, 2), 99)}, right),
        ({"input_ids": IDS, "attention_mask": ONES * -3}, right),
    ):
        given = {"attention_mask": ONES, **inputs}
        loss, accuracy = model.evaluate(Batches((given, labels)), verbose=0)
        assert np.isnan(loss) and np.isnan(accuracy), (inputs, labels)
    given = Batches(({"input_ids": IDS, "attention_mask": ONES}, _with(2, -100, right)))
    assert np.isfinite(model.evaluate(given, verbose=0)).all()


# === Weights ===


def test_classes_weigh_as_their_labels_would(classifier, tagger):
    for model, labels in (
        (classifier, np.array([0, 1, 1, -100])),
        (tagger, _with((0, slice(3, 6)), -100, IDS % 5)),
    ):
        before = model.get_weights()
        weights = np.where(labels == 1, 3.0, 1.0)
        options = dict(shuffle=False, verbose=0)
        by_class = model.fit(IDS, labels, class_weight={1: 3.0}, **options).history
        model.set_weights(before)
        given = Batches((IDS, labels))
        in_graph = model.fit(given, class_weight={1: 3.0}, verbose=0).history
        model.set_weights(before)
        by_label = model.fit(IDS, labels, sample_weight=weights, **options).history
        model.set_weights(before)
        plain = model.fit(IDS, labels, **options).history
        model.set_weights(before)
        assert by_class["loss"] == pytest.approx(by_label["loss"], rel=1e-5)
        assert in_graph["loss"] == pytest.approx(by_label["loss"], rel=1e-5)
        assert abs(plain["loss"][0] - by_class["loss"][0]) > 1e-4


def test_weights_that_mean_nothing_are_refused(classifier, reader):
    chooser = _model("MultipleChoice")
    for weights in ({5: 1.0}, {"good": 1.0}, {0: -1.0}, {0: np.nan}):
        with pytest.raises(InputError, match=r"class_weight by class from 0 to 4"):
            classifier.fit(IDS, np.arange(4), class_weight=weights, verbose=0)
    two, wide = [ZEROS[:, 0]] * 2, np.ones((4, 5))
    choices = IDS.reshape(2, 2, 6)
    for model, *given in (
        (reader, IDS, two),
        (classifier, IDS, wide),
        (chooser, choices, ZEROS[:2, 0]),
        (_model("SequenceClassification"), Batches((IDS, wide))),
    ):
        with pytest.raises(InputError, match=r"class_weight for one output"):
            model.fit(*given, class_weight={0: 2.0}, verbose=0)
    for table in ("balanced", [1.0, 2.0]):
        with pytest.raises(InputError, match="class_weight as a dict"):
            classifier.fit(IDS, np.arange(4), class_weight=table, verbose=0)
    wide = np.ones((4, 6))
    for weights in ([1, 2, -1, 0], [1, np.nan, 1, 1], [1, 2, 3], ["a"] * 4, wide):
        with pytest.raises(InputError, match=r"sample_weight"):
            classifier.fit(IDS, np.arange(4), sample_weight=weights, verbose=0)


MASK = _with((1, slice(4, 6)), 0, ONES)
CALLS = {
    "by name": ((), {"input_ids": IDS, "attention_mask": MASK}),
    "by other names": ((), {"token_ids": IDS, "padding_mask": MASK}),
    "the first by position": ((IDS,), {"attention_mask": MASK}),
    "by position": ((IDS, MASK), {}),
    "by position, one left out": ((IDS, MASK, None, np.arange(6)[None]), {}),
    "a list and a name": (([IDS, MASK],), {"token_type_ids": ZEROS}),
    "a dict and a name": (({"input_ids": IDS},), {"input_mask": MASK}),
    "lists": ((IDS.tolist(), MASK.tolist()), {"training": False}),
    "a None by name": (([IDS, MASK],), {"attention_mask": None}),
}


@pytest.mark.parametrize("form", CALLS)
def test_inputs_may_be_arguments(classifier, form):
    args, kwargs = CALLS[form]
    expected = _numpy(classifier({"input_ids": IDS, "attention_mask": MASK}))
    np.testing.assert_array_equal(_numpy(classifier(*args, **kwargs)), expected)
    hidden = _numpy(classifier.encoder(*args, **kwargs)["last_hidden_state"])
    assert hidden.shape == (4, 6, TINY.hidden_size)


@pytest.mark.parametrize(
    ("args", "kwargs", "received"),
    [
        ((IDS,), {"mask": ONES}, "attention_mask=.*Received: mask="),
        ((IDS, ONES), {"input_mask": ONES}, "attention_mask twice"),
        (({"token_ids": IDS},), {"input_ids": IDS}, "input_ids twice"),
        ((IDS, ONES, True), {}, "Received: bool among them"),
        ((IDS, False), {}, "Received: bool among them"),
        ((IDS, ZEROS), {}, "attention_mask as the second"),
        ((), {"attention_mask": ONES}, "dict with 'input_ids'"),
        ((IDS, [[1]]), {}, r"shape of input_ids, \(4, 6\)"),
    ],
)
def test_arguments_that_are_no_inputs(classifier, args, kwargs, received):
    with pytest.raises(InputError, match=received):
        classifier(*args, **kwargs)


def test_inputs_by_name_in_functional_models(tmp_path):
    model = MODELS["BertModel"](TINY, seed=1)
    ids, mask = (keras.Input((None,), dtype="int32", name=n) for n in ("ids", "mask"))
    pooled = model(input_ids=ids, attention_mask=mask)["pooler_output"]
    functional = keras.Model([ids, mask], pooled)
    functional.save(tmp_path / "model.keras")
    expected = _numpy(model([IDS, MASK])["pooler_output"])
    for one in (functional, keras.saving.load_model(tmp_path / "model.keras")):
        assert_close(one.predict([IDS, MASK], verbose=0), expected)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.function")
def test_inputs_by_name_in_a_graph(classifier):
    import tensorflow as tf

    call = tf.function(lambda ids, mask: classifier(ids, attention_mask=mask))
    assert_close(_numpy(call(IDS, MASK)), _numpy(classifier([IDS, MASK])))


def test_masked_values_are_refused(classifier):
    labels = np.ma.masked_equal([0, 1, 0, 1], 1)
    with pytest.raises(InputError, match="without masked values"):
        classifier.fit(IDS, labels, verbose=0)


def test_an_evaluation_has_no_weights_of_classes():
    model = _model("SequenceClassification", config=TINY.replace(num_labels=2))
    model.fit(IDS, np.zeros(4, "int32"), class_weight={0: 2.0}, verbose=0)
    labels = np.eye(2)[[0, 1, 0, 1]]
    loss = model.evaluate(IDS, labels, verbose=0, return_dict=True)["loss"]
    logits = model.predict(IDS, verbose=0)
    assert_close(loss, np.mean(np.logaddexp(0, logits) - labels * logits))


def test_token_types_are_not_taken_for_a_mask(classifier):
    with pytest.raises(InputError, match="as token types have it"):
        classifier([IDS, np.repeat([[0, 0, 0, 1, 1, 1]], 4, axis=0)])
    same = classifier({"input_ids": IDS, "attention_mask": ONES})
    assert_close(_numpy(classifier([IDS, ONES])), _numpy(same))


def test_negative_weights_make_the_loss_nan():
    model = _model("SequenceClassification", eagerly=False)
    data = Batches((IDS, np.zeros(4, "int32"), np.array([1.0, -1.0, 1.0, 1.0])))
    assert np.isnan(model.fit(data, verbose=0).history["loss"])
