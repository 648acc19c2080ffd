"""Tags of a conditional random field: learned, kept, and answered by the graph."""

import numpy as np
import pytest
import tensorflow as tf

from keras_bert import BertForTokenClassification
from keras_bert.errors import KerasBertError
from keras_bert.layers.crf import best_paths
from keras_bert.serving.graph import entities
from keras_bert.serving.graph.settings import AnswerSettings, Request
from keras_bert.tasks import TokenClassification
from keras_bert.tokenization.in_graph import InGraphTokenizer
from tests.bounds import assert_close
from tests.tasks.test_token_classification import (
    CONFIG,
    LABELS,
    SENTENCES,
    SETTINGS,
    VOCAB,
    pretrained,  # noqa: F401
)

assert VOCAB  # of the fixture `tokenizer`


@pytest.fixture(scope="module")
def trained(pretrained):  # noqa: F811
    task = TokenClassification.from_pretrained(pretrained, crf=True)
    return task.fit(SENTENCES, show_progress=False, **SETTINGS)


def test_transitions_are_learned_and_kept(trained, tmp_path):
    assert trained.evaluate(SENTENCES)["f1"] == 100
    scores = np.array(trained.model.transitions.scores)
    assert scores.std() > 0.1
    loaded = TokenClassification.load(trained.save(tmp_path / "kept"), max_length=13)
    assert loaded.model.config.crf
    np.testing.assert_array_equal(loaded.model.transitions.scores, scores)
    assert loaded.predict([["e", "fxy", "d"]]) == trained.predict([["e", "fxy", "d"]])


def test_another_format_refuses_what_it_cannot_hold(trained, tmp_path):
    with pytest.raises(KerasBertError, match="transitions"):
        trained.save(tmp_path / "hf", format="huggingface")
    assert not (tmp_path / "hf").exists()


def test_the_graph_answers_with_the_best_sequence(tokenizer):
    config = CONFIG.replace(id2label=dict(enumerate(LABELS)), extra={"crf": True})
    model = BertForTokenClassification(config, seed=3)
    rng = np.random.default_rng(5)
    model.transitions.scores.assign(rng.normal(0, 3, (5, 5)))
    task = TokenClassification(model, tokenizer, max_length=9, doc_stride=2)
    texts = ["a bx c e fxy " * 4, "d", "", "c a"]
    in_graph = InGraphTokenizer.from_tokenizer(tokenizer, 9)
    settings = AnswerSettings(in_graph, tuple(LABELS), 9, 2, 30)
    request = {"text": tf.constant(texts)}
    features = entities.encode(settings, request["text"])
    ids = {name: features[name] for name in ("input_ids", "attention_mask")}
    outputs = {"logits": model(ids)}

    def answer(logits):
        return entities.answer({"logits": logits}, Request(request, features, settings))

    spec = tf.TensorSpec([None, None, 6, 5])  # as an exported graph knows it
    found = tf.function(answer, input_signature=[spec])(outputs["logits"])
    tagged = task.predict([text.split() for text in texts])
    for row, sentence in enumerate(tagged):
        count = int(found["count"][row])
        kinds = [kind.decode() for kind in found["entity"][row, :count].numpy()]
        assert kinds == [entity["entity"] for entity in sentence["entities"]]
    alone = np.array(outputs["logits"])[:, :, -1].argmax(-1)
    best = np.array(best_paths(outputs["logits"], ids["attention_mask"] > 0))
    assert (alone != best).any()


def test_logits_are_those_of_a_model_without_transitions():
    config = CONFIG.replace(id2label=dict(enumerate(LABELS)))
    ids = {"input_ids": np.array([[2, 6, 7, 3]])}
    plain = BertForTokenClassification(config, seed=3)(ids)
    model = BertForTokenClassification(config.replace(extra={"crf": True}), seed=3)
    model.transitions.scores.assign(np.ones((5, 5)))
    paths = model(ids)
    assert paths.shape == (1, 4, 6, 5)
    assert_close(paths[:, :, -1], plain)
    assert_close(paths[:, :, :-1], plain[:, :, None] + tf.ones((1, 1, 5, 1)))
