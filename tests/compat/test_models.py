"""The classes with `TF…` names: called as scripts do, equal to torch's of one name."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras
import tensorflow as tf

from keras_bert.errors import InputError, UnknownNameError
from keras_bert.models import MODELS
from keras_bert.transformers import configs, models
from keras_bert.transformers.outputs import ModelOutput
from tests.bounds import assert_close
from tests.families.test_models import SIZES

RNG = np.random.default_rng(0)
IDS = RNG.integers(5, SIZES["vocab_size"], (3, 9))
MASK = np.ones_like(IDS)
MASK[1, 6:] = 0
TYPES = (np.arange(9) > 4).astype(int) * np.ones_like(IDS)
EVERY = np.where(RNG.random(IDS.shape) < 0.4, IDS, -100)
LABELS = {
    "encoder": {},
    "pretraining": {"labels": EVERY, "next_sentence_label": np.array([0, 1, 1])},
    "sentence_order": {"labels": EVERY, "sentence_order_label": np.array([0, 1, 1])},
    "masked_lm": {"labels": EVERY},
    "lm_head": {"labels": EVERY},
    "causal_lm": {"labels": EVERY},
    "next_sentence": {"labels": np.array([0, 1, 1])},
    "sequence_classification": {"labels": np.array([1, 0, 2])},
    "token_classification": {"labels": EVERY % 3 - 100 * (EVERY < 0)},
    "multiple_choice": {"labels": np.array([1, 0, 1])},
    "replaced_tokens": {"labels": IDS % 2},  # also of padding, which is left out
    "question_answering": {
        "start_positions": np.array([1, 2, 0]),
        "end_positions": np.array([3, 2, 8]),
    },
}
LABELS["token_classification"]["labels"][EVERY < 0] = -100


def config_of(name, **changes):
    model_type = models.TF_MODELS[name].family.model_type
    values = {**SIZES, "num_labels": 3, "initializer_range": 0.3, **changes}
    config = configs.CONFIGS[model_type]
    if config().embedding_size is not None:  # wide ones make the attention steep
        values["embedding_size"] = SIZES["hidden_size"] - 1
    return config(**values)


def batch_of(model):
    batch = {"input_ids": IDS, "attention_mask": MASK}
    if model.config.type_vocab_size > 1:
        batch["token_type_ids"] = TYPES
    if model.choices:
        batch = {k: np.stack([x, x[:, ::-1]], 1) for k, x in batch.items()}
    return batch


@pytest.fixture(scope="module")
def model():
    return models.TFBertForSequenceClassification(
        config_of("TFBertForSequenceClassification"), seed=1
    )


NEW_GELU = pytest.param("TFElectraForPreTraining", "gelu_new", id="gelu_new")


@pytest.mark.parametrize(
    ("name", "act"), [*((name, "gelu") for name in models.TF_MODELS), NEW_GELU]
)
def test_outputs_and_losses_are_those_of_torch(name, act, tmp_path):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("transformers")
    own = models.TF_MODELS[name](config_of(name, hidden_act=act), seed=1)
    own.save_pretrained(tmp_path / "it")
    other = getattr(theirs, name[2:]).from_pretrained(
        tmp_path / "it", attn_implementation="eager"
    )
    batch = {**batch_of(own), **LABELS[own.kind]}
    states = {"output_hidden_states": True, "output_attentions": True}
    outputs = own(batch, **states)
    with torch.no_grad():
        tensors = {k: torch.tensor(x) for k, x in batch.items()}
        expected = other.eval()(**tensors, **states)
    names = [k for k in expected if k not in ("past_key_values", "cross_attentions")]
    assert list(outputs) == names
    if LABELS[own.kind]:
        loss = np.mean(outputs.loss)
        assert_close(loss, expected.loss.item(), name="loss")
        assert outputs.loss.shape == ((3,) if own.kind in models.ONE_A_ROW else ())
    for key in {*names} - {"loss"}:
        values = outputs[key] if isinstance(outputs[key], tuple) else [outputs[key]]
        wanted = expected[key] if isinstance(expected[key], tuple) else [expected[key]]
        assert len(values) == len(wanted)
        for value, want in zip(values, wanted, strict=True):
            assert_close(value, want.numpy(), name=key)


def test_every_form_of_a_call_is_the_same(model):
    expected = model(
        {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": TYPES}
    )
    ids, mask, types = map(tf.constant, (IDS, MASK, TYPES))
    for outputs in (
        model(ids, mask, types),
        model(ids, attention_mask=mask, token_type_ids=types),
        model([ids, mask, types]),
        model((IDS, MASK, TYPES)),
        model([IDS.tolist(), MASK.tolist(), TYPES.tolist()]),
        model(ids, token_type_ids=types, attention_mask=mask, head_mask=None),
        model(ids, mask, types, None, None, None, training=False),
        model(input_ids=ids, attention_mask=mask, token_type_ids=types),
        model({"input_ids": ids, "attention_mask": mask}, token_type_ids=types),
        tf.function(model)(
            {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        ),
    ):
        assert type(outputs) is ModelOutput
        assert_close(outputs.logits, expected.logits)


def test_outputs_are_read_by_name_attribute_and_number(model):
    outputs = model(IDS, labels=[0, 1, 2], output_hidden_states=True)
    assert outputs[0] is outputs.loss is outputs["loss"]
    assert outputs[1] is outputs.logits
    assert outputs[:2] == outputs.to_tuple()[:2]
    assert outputs.attentions is None and len(outputs.hidden_states) == 3
    assert isinstance(model(IDS, return_dict=False), tuple)
    with pytest.raises(AttributeError, match="logit"):
        outputs.logit  # noqa: B018


def test_a_missing_mask_attends_to_padding_and_says_so(model, caplog):
    padded = np.where(MASK, IDS, model.config.pad_token_id)
    everything = model(padded, attention_mask=np.ones_like(IDS))
    caplog.clear()
    assert_close(model(padded).logits, everything.logits)
    assert "pad tokens" in caplog.text
    assert np.abs(model(padded, MASK).logits - everything.logits).max() > 1e-3


@pytest.mark.parametrize(
    "given", [{"head_mask": np.ones(2)}, {"inputs_embeds": IDS}, {"use_cache": True}]
)
@pytest.mark.parametrize("inputs", [IDS, None])
def test_what_models_do_not_take_is_refused(model, inputs, given):
    with pytest.raises(InputError, match=f"no {next(iter(given))}"):
        model(inputs, **given)


SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.mark.parametrize(
    ("loss", "return_dict"), [(None, False), (SPARSE, True), ("own", True)]
)
def test_it_learns_from_dicts_and_datasets(loss, return_dict):
    name = "TFBertForSequenceClassification"
    model = models.TF_MODELS[name](config_of(name, return_dict=return_dict), seed=1)
    loss = model.hf_compute_loss if loss == "own" else loss
    options = {"metrics": ["accuracy"], "run_eagerly": return_dict}  # graphs take time
    model.compile(keras.optimizers.Adam(1e-2), loss=loss, **options)
    batch, labels = {"input_ids": IDS, "attention_mask": MASK}, np.array([0, 1, 2])
    inside = tf.data.Dataset.from_tensor_slices({**batch, "labels": labels}).batch(3)
    first = model.fit(inside, verbose=0).history
    last = model.fit(batch, labels, epochs=9, verbose=0).history
    assert last["loss"][-1] < first["loss"][0]
    assert {*last} == {"loss", "accuracy"}
    assert model.predict(inside, verbose=0)[0].shape == (3, 3)


def test_it_trains_in_a_loop_of_ones_own(model):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(IDS, labels=[0, 1, 2], training=True).loss)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(g is not None for g in gradients)


@pytest.mark.parametrize(
    "read",
    [
        lambda bert, i, m: bert(i, attention_mask=m)[0][:, 0, :],
        lambda bert, i, m: bert([i, m]).pooler_output,
        lambda bert, i, m: bert({"input_ids": i, "attention_mask": m})[1],
        lambda bert, i, m: bert(i, m, output_hidden_states=True).hidden_states[-2],
        lambda bert, i, m: bert.bert(i, attention_mask=m)[1],
    ],
)
def test_it_is_part_of_functional_models(read, tmp_path):
    bert = models.TFBertModel(config_of("TFBertModel"), seed=1)
    inputs = [keras.Input((9,), dtype="int32", name=n) for n in ("ids", "mask")]
    whole = keras.Model(inputs, keras.layers.Dense(2)(read(bert, *inputs)))
    expected = whole([IDS, MASK])
    assert_close(expected[..., :0], read(bert, IDS, MASK)[..., :0])
    whole.save(tmp_path / "it.keras")
    again = keras.saving.load_model(tmp_path / "it.keras")
    assert_close(again([IDS, MASK]), expected)


def test_a_model_is_saved_whole_by_keras(model, tmp_path):
    model.save(tmp_path / "it.keras")
    again = keras.saving.load_model(tmp_path / "it.keras")
    assert type(again) is type(model)
    assert_close(again(IDS).logits, model(IDS).logits)


def test_layers_are_where_scripts_freeze_them():
    name = "TFBertForTokenClassification"
    model = models.TF_MODELS[name](config_of(name), seed=1)
    assert model.layers[0] is model.bert is model.encoder
    every = model.num_parameters(only_trainable=True)
    assert every == model.num_parameters() == model.count_params()
    for layer in model.bert.encoder.layer[:1]:
        layer.trainable = False
    one = model.num_parameters(only_trainable=True)
    model.bert.embeddings.trainable = False
    model.bert.encoder.trainable = False
    model.bert.pooler  # None here, as the head does not pool  # noqa: B018
    assert model.num_parameters(only_trainable=True) < one < every
    model.layers[0].trainable = False
    assert len(model.trainable_variables) == 2


def test_files_of_weights_are_those_of_the_class_without_tf(model, tmp_path):
    native = MODELS["BertForSequenceClassification"](model.config, seed=2)
    for source, target in ((model, native), (native, model)):
        source.save_weights(tmp_path / "it.weights.h5")
        target.load_weights(tmp_path / "it.weights.h5")
        for one, other in zip(model.weights, native.weights, strict=True):
            np.testing.assert_array_equal(one, other)
    assert model.get_layer("bert") is model.base_model is model.encoder
    assert model.get_layer("classifier") is model.classifier


def test_another_vocabulary_takes_the_place_of_the_old_one():
    name = "TFBertForMaskedLM"
    model = models.TF_MODELS[name](config_of(name), seed=1)
    before = model(IDS).logits
    embeddings = model.resize_token_embeddings(SIZES["vocab_size"] + 4)
    assert embeddings is model.get_input_embeddings()
    after = model(IDS).logits
    assert after.shape[-1] == SIZES["vocab_size"] + 4
    assert_close(after[..., :-4], before)
    model.compile("adam")
    model.fit({"input_ids": IDS, "labels": EVERY}, verbose=0)
    assert model.resize_token_embeddings() is model.get_input_embeddings()


def test_files_take_the_place_of_their_like(tmp_path, model):
    (tmp_path / "vocab.txt").write_text("kept")
    for _ in range(2):
        model.save_pretrained(tmp_path, saved_model=True)
    assert (tmp_path / "vocab.txt").read_text() == "kept"
    assert {p.name for p in (tmp_path / "saved_model").iterdir()} == {"1"}
    served = tf.saved_model.load(tmp_path / "saved_model" / "1")
    answers = served.signatures["serving_default"](
        input_ids=tf.constant(IDS, tf.int32),
        attention_mask=tf.constant(MASK, tf.int32),
        token_type_ids=tf.constant(TYPES, tf.int32),
    )
    assert_close(answers["logits"], model(IDS, MASK, TYPES).logits)


def test_arguments_are_named_as_in_transformers(tmp_path):
    distil = configs.CONFIGS["distilbert"](**SIZES)
    models.TF_MODELS["TFDistilBertModel"](distil, seed=1).save_pretrained(tmp_path)
    options = {"dropout": 0.3, "name": "encoder", "trainable": False}
    for cls in (
        models.AUTO_MODELS["TFAutoModel"],
        models.TF_MODELS["TFDistilBertModel"],
    ):
        model = cls.from_pretrained(pretrained_model_name_or_path=tmp_path, **options)
        assert (model.config.dropout, model.name) == (0.3, "encoder")
        assert model.trainable_weights == [] and "pooler_output" not in model(IDS)
    config = configs.AutoConfig.from_pretrained(pretrained_model_name_or_path=tmp_path)
    assert config.dropout == 0.1 and config.torchscript is False


def test_metrics_are_the_third_argument_of_compile(model):
    model.compile("adam", SPARSE, ["accuracy"])
    labels = np.array([0, 1, 2])
    assert "accuracy" in model.evaluate(IDS, labels, verbose=0, return_dict=True)
    model.compile("adam")
    assert model.evaluate(IDS, labels, verbose=0) > 0  # as in math.exp(eval_loss)


def test_a_checkpoint_is_found_by_auto_classes_with_options(tmp_path, model):
    model.save_pretrained(tmp_path / "it")
    auto = models.AUTO_MODELS["TFAutoModelForSequenceClassification"]
    again = auto.from_pretrained(
        tmp_path / "it", from_pt=True, output_hidden_states=True, cache_dir=None
    )
    assert type(again) is type(model)
    assert len(again(IDS).hidden_states) == 3
    config = configs.AutoConfig.from_pretrained(
        tmp_path / "it", num_labels=4, finetuning_task="it"
    )
    assert config.id2label[3] == "LABEL_3" and config.finetuning_task == "it"
    with pytest.raises(Exception, match="ignore_mismatched_sizes"):
        auto.from_pretrained(tmp_path / "it", config=config)
    other = auto.from_pretrained(
        tmp_path / "it", config=config, ignore_mismatched_sizes=True
    )
    assert other(IDS).logits.shape == (3, 4)
    named = auto.from_pretrained(tmp_path / "it", label2id={"x": 0, "y": 1, "z": 2})
    assert named.config.id2label == {0: "x", 1: "y", 2: "z"}
    assert type(auto.from_config(config)) is type(model)
    with pytest.raises(UnknownNameError, match="from_pretrained"):
        auto()


@pytest.mark.parametrize("name", list(models.INSTEAD))
def test_what_cannot_be_had_says_what_instead(model, name):
    with pytest.raises(UnknownNameError, match=f"Received: {name}"):
        getattr(model, name)()


def test_configs_can_be_changed():
    config = configs.CONFIGS["distilbert"](dim=20, n_heads=5, seq_classif_dropout=0.3)
    assert (config.dim, config.hidden_size, config.return_dict) == (20, 20, True)
    config.num_labels = 3
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    config.id2label = {0: "a", 1: "b"}
    assert (config.num_labels, config.label2id["b"]) == (2, 1)
    config.output_hidden_states = True
    config.own = "kept"
    again = type(config).from_dict(config.to_dict())
    assert again.own == "kept" and again.output_hidden_states
    with pytest.raises(AttributeError, match="nothing"):
        config.nothing  # noqa: B018
    with pytest.raises(Exception, match="hidden_dropout_prob"):
        config.dropout = 2
    assert config.dropout == 0.1
