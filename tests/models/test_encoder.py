"""The encoder as a Keras object: frozen, nested, listed, saved."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_bert.errors import InputError
from keras_bert.models import MODELS, BertForSequenceClassification, Encoder
from tests.bounds import assert_close
from tests.cases import CASES, CONFIG

CASE = CASES["BertForSequenceClassification"]


def _model(**options):
    return BertForSequenceClassification(CONFIG, seed=1, **options)


def _values(model) -> dict[str, np.ndarray]:
    return {v.path: ops.convert_to_numpy(v) for v in model.weights}


def test_a_frozen_encoder_stays_as_it_is():
    model = _model()
    model.encoder.trainable = False
    assert [v.path for v in model.trainable_weights] == [
        "classifier/kernel",
        "classifier/bias",
    ]
    model.compile()
    before = _values(model)
    model.fit(CASE.features(), CASE.labels, verbose=0)
    moved = {p for p, x in _values(model).items() if (x != before[p]).any()}
    assert moved == {"classifier/kernel", "classifier/bias"}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_encoder_comes_first_among_the_layers(name):
    family = MODELS[name].family
    sizes = dict(vocab_size=17, pad_token_id=0, hidden_size=8, num_hidden_layers=1)
    sizes |= dict(num_attention_heads=2, intermediate_size=9)
    model = MODELS[name](family.config(**sizes))
    assert model.layers[0] is model.encoder
    assert isinstance(model.encoder, keras.Model)
    assert len({v.path for v in model.weights}) == len(model.weights)
    assert all(layer.built for layer in model._flatten_layers())


FROZEN = {
    "encoder": lambda model: [model.encoder],
    "the lower half": lambda m: [m.encoder.embeddings, m.encoder.blocks[0]],
    "all but the pooler": lambda m: [
        layer for layer in m.encoder.layers if layer is not m.encoder.pooler
    ],
    "nothing": lambda model: [],
}


@pytest.mark.parametrize(
    ("frozen", "when"),
    [
        ("encoder", "before compile()"),
        ("the lower half", "after fit()"),
        *(
            pytest.param(frozen, when, marks=pytest.mark.slow)
            for frozen, when in [
                ("nothing", "after fit()"),
                ("encoder", "after fit()"),
                ("the lower half", "before compile()"),
                ("all but the pooler", "before compile()"),
                ("all but the pooler", "after fit()"),
                ("nothing", "before compile()"),
            ]
        ),
    ],
)
def test_keras_files_keep_flags_and_optimizer(frozen, when, tmp_path):
    model = _model()
    if when == "before compile()":
        for layer in FROZEN[frozen](model):
            layer.trainable = False
    model.compile()
    model.fit(CASE.features(), CASE.labels, verbose=0)
    for layer in FROZEN[frozen](model):
        layer.trainable = False
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert [v.path for v in again.trainable_weights] == [
        v.path for v in model.trainable_weights
    ]
    slots = zip(model.optimizer.variables, again.optimizer.variables, strict=True)
    for one, other in slots:
        assert one.path == other.path
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (one, other)))
    if when == "after fit()" and keras.backend.backend() == "jax":
        return  # where Keras asks to compile again before it trains on
    losses = [
        m.fit(CASE.features(), CASE.labels, shuffle=False, verbose=0).history["loss"]
        for m in (model, again)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_from_config_and_clone_keep_the_flags():
    model = _model()
    model.encoder.embeddings.trainable = False
    for again in (
        type(model).from_config(model.get_config()),
        keras.models.clone_model(model),
    ):
        assert type(again) is type(model)
        assert not again.encoder.embeddings.trainable
        assert len(again.trainable_weights) == len(model.trainable_weights)


def test_an_encoder_is_nested_and_saved(tmp_path):
    encoder = Encoder(CONFIG, seed=3)
    encoder.blocks[0].trainable = False
    features = CASE.features()
    inputs = {
        key: keras.Input(x.shape[1:], dtype="int32", name=key)
        for key, x in features.items()
    }
    pooled = encoder(inputs)["pooler_output"]
    model = keras.Model(inputs, keras.layers.Dense(3, name="mine")(pooled))
    model.save(tmp_path / "mine.keras")
    again = keras.saving.load_model(tmp_path / "mine.keras")
    np.testing.assert_array_equal(
        *(ops.convert_to_numpy(m(features)) for m in (model, again))
    )
    assert len(again.trainable_weights) == len(model.trainable_weights)
    encoder.trainable = False
    assert [v.path for v in model.trainable_weights] == ["mine/kernel", "mine/bias"]


def test_a_file_of_another_head_is_refused(tmp_path):
    MODELS["BertForPreTraining"](CONFIG).save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match="classifier"):
        _model().load_weights(tmp_path / "model.weights.h5")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"segment_ids": 0, "token_type_ids": 0}, "each input once"),
        ({"attention_msk": 0}, "Did you mean 'attention_mask'"),
        ({"labels": 0}, "Unknown input 'labels'"),
    ],
)
def test_input_names_are_understood_or_refused(names, message):
    ids = CASE.features()["input_ids"]
    with pytest.raises((ValueError, KeyError), match=message):
        _model()({"input_ids": ids, **dict.fromkeys(names, np.zeros_like(ids))})


def test_inputs_by_other_names_and_by_position():
    model, features = _model(), CASE.features()
    expected = ops.convert_to_numpy(model(features))
    ids, mask, types = features.values()
    for given in (
        {"input_word_ids": ids, "input_mask": mask, "input_type_ids": types},
        {"token_ids": ids, "padding_mask": mask, "segment_ids": types},
        [ids, mask, types],
    ):
        np.testing.assert_array_equal(ops.convert_to_numpy(model(given)), expected)
        assert_close(model.predict(given, verbose=0), expected)


def test_inputs_are_completed_once_a_call(monkeypatch):
    from keras_bert.models import inputs

    calls, complete = [], inputs.complete
    monkeypatch.setattr(
        inputs, "complete", lambda *args: calls.append(args) or complete(*args)
    )
    _model()(CASE.features())
    assert len(calls) == 1


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="Keras on JAX asks to compile again"
)
def test_layers_frozen_after_training_are_not_trained():
    ids, labels = np.array([[1, 2], [3, 4]]), np.array([0, 1])
    model = _model()
    model.compile()
    model.fit(ids, labels, verbose=0)
    model.encoder.trainable = False
    frozen, head = (x.get_weights() for x in (model.encoder, model.classifier))
    model.fit(ids, labels, verbose=0)
    for old, new in zip(frozen, model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert (head[0] != model.classifier.get_weights()[0]).any()


def test_layers_thawed_after_training_ask_to_compile_again():
    ids, labels = np.array([[1, 2], [3, 4]]), np.array([0, 1])
    model = _model()
    model.encoder.trainable = False
    model.compile()
    model.fit(ids, labels, verbose=0)
    model.encoder.trainable = True
    with pytest.raises(InputError, match=r"Received: 41, other ones. Call compile\(\)"):
        model.fit(ids, labels, verbose=0)
    model.evaluate(ids, labels, verbose=0)  # trains nothing


def test_what_is_set_on_layers_is_kept_in_copies():
    model = _model()
    model.encoder.pooler.trainable = False
    model.encoder.blocks[0].activation_checkpointing = True
    settings = model.layer_settings()
    assert len(settings["frozen"]) > 0
    assert len(settings["recomputed"]) == 1
    again = type(model).from_config(model.get_config())
    assert again.layer_settings() == settings
    assert model.resize_token_embeddings(200).layer_settings() == settings


def _at(when: str, act):
    """Returns a callback that acts once, in the second step or after the third."""
    return keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: when == "epoch" and epoch == 1 and act(),
        on_train_batch_end=lambda batch, logs: when == "step" and batch == 1 and act(),
    )


def _fit(model, callback, epochs=2):
    ids, labels = np.arange(1, 25).reshape(6, 4), np.array([0, 1] * 3)
    options = {"batch_size": 2, "epochs": epochs, "shuffle": False, "verbose": 0}
    return model.fit(ids, labels, callbacks=[callback], **options)


@pytest.mark.parametrize(
    "when", ["step", pytest.param("epoch", marks=pytest.mark.slow)]
)
def test_layers_frozen_by_a_callback_are_not_trained_on(when):
    model, weights = _model(), []

    def freeze():
        model.encoder.trainable = False
        if keras.backend.backend() != "jax":
            weights[:] = (w.copy() for w in model.encoder.get_weights())

    model.compile()
    if keras.backend.backend() == "jax":
        with pytest.raises(InputError, match=r"Call compile\(\) again"):
            _fit(model, _at(when, freeze))
        assert np.isfinite(ops.convert_to_numpy(model(CASE.features()))).all()
        return
    _fit(model, _at(when, freeze))
    for old, new in zip(weights, model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("when", ["epoch", "step"])
def test_an_error_because_of_thawed_layers_leaves_the_weights_of_the_last_step(when):
    model, again = _model(), _model()
    for each in (model, again):
        each.encoder.trainable = False
        each.compile("sgd")
    thawed = [model.encoder.blocks[0], model.encoder.pooler]

    def thaw():
        for layer in thawed:
            layer.trainable = True

    with pytest.raises(InputError, match=r"Call compile\(\) again"):
        _fit(model, _at(when, thaw))
    if when == "epoch":
        _fit(again, keras.callbacks.Callback(), epochs=1)
        for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    assert np.isfinite(ops.convert_to_numpy(model(CASE.features()))).all()


@pytest.mark.parametrize(
    ("method", "after"),
    [
        ("fit", 2),
        ("predict", 2),
        pytest.param("fit", 0, marks=pytest.mark.slow),
        pytest.param("evaluate", 0, marks=pytest.mark.slow),
        pytest.param("evaluate", 2, marks=pytest.mark.slow),
    ],
)
def test_an_error_in_a_step_leaves_the_model_as_it_was(method, after):
    """JAX takes values out of the variables for a step."""
    ids, labels = np.array([[1, 2], [3, 4]]), np.array([0, 1])
    model = _model()
    model.compile("sgd")
    before = [w.copy() for w in model.get_weights()]

    def batches():
        for _ in range(after):
            yield ids, labels
        yield ids[:, :, None], labels

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return after + 1

        def __getitem__(self, index):
            return [*batches()][index]

    with pytest.raises(Exception, match=r"input_ids|shape \(2, 2, 1\)"):
        getattr(model, method)(Batches(), verbose=0)
    if method != "fit" or not after:
        for one, other in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    model.fit(ids, labels, verbose=0)
