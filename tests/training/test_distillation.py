"""Distillation: the loss of a student, what it starts from, what is refused."""

import numpy as np
import pytest
from keras import ops

from keras_bert.errors import ConfigError
from keras_bert.models import MODELS
from keras_bert.training.distillation import (
    Distillation,
    DistillationLoss,
    student_of,
)
from keras_bert.training.step import BatchLoss
from tests.cases import CASES, CONFIG

STILL = CONFIG.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
SMALL = STILL.replace(num_hidden_layers=1)
RNG = np.random.default_rng(2)


def _model(kind, config=STILL, seed=1):
    return MODELS[f"BertFor{kind}"](config, seed=seed)


def _batch(kind, problem):
    case = CASES[f"BertFor{kind}"]
    labels = case.labels
    if problem == "multi_label_classification":
        labels = RNG.integers(0, 2, (len(labels), 5))
    return case.features(), labels, RNG.uniform(0.5, 2, np.shape(labels)[:1])


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _apart(teacher, student, problem, temperature):
    """KL(teacher ‖ student) at a temperature, times its square."""
    t, s = teacher / temperature, student / temperature
    if problem == "multi_label_classification":
        t, s = (np.stack([x, 0 * x], -1) for x in (t, s))
    p, q = _softmax(t), _softmax(s)
    return (p * np.log(p / q)).sum(-1) * temperature**2


@pytest.mark.parametrize(
    "kind, problem",
    [
        ("SequenceClassification", "single_label_classification"),
        ("SequenceClassification", "multi_label_classification"),
        ("TokenClassification", None),
    ],
)
def test_a_student_learns_labels_answers_and_hidden_states(kind, problem):
    config = STILL.replace(problem_type=problem)
    teacher = _model(kind, config, seed=2)
    student = _model(kind, config.replace(num_hidden_layers=1))
    for model in (teacher, student):  # answers that are far apart
        model.classifier.kernel.assign(30 * model.classifier.kernel)
    batch = features, labels, weights = _batch(kind, problem)
    given = dict(temperature=3.0, teacher_weight=0.3, hidden_weight=0.7)
    loss = DistillationLoss(student, teacher, Distillation(**given))
    found, sums = loss(batch, training=True)

    hard, _ = BatchLoss(student)(batch, training=True)
    ours, theirs = (
        {
            k: [ops.convert_to_numpy(x) for x in v]
            if k == "hidden_states"
            else ops.convert_to_numpy(v).astype("float64")
            for k, v in m.compute(features, states=["hidden_states"]).items()
        }
        for m in (student, teacher)
    )
    values = _apart(theirs["logits"], ours["logits"], problem, 3.0)
    counts = np.ones_like(values) * weights.reshape(-1, *[1] * (values.ndim - 1))
    if kind == "TokenClassification":
        counts = counts * (labels != -100)
    soft = np.average(values, weights=counts)
    mask = ops.convert_to_numpy(student.complete(features)["attention_mask"]) > 0
    pairs = [(0, 0), (1, 2)]  # the student's one layer learns the last of two
    states = [
        ((ours["hidden_states"][i] - theirs["hidden_states"][j]) ** 2).mean(-1)[mask]
        for i, j in pairs
    ]
    expected = 0.7 * float(hard) + 0.3 * soft + 0.7 * np.mean(states)
    assert float(found) == pytest.approx(expected, 1e-4)
    top, bottom = sums["teacher_loss"]
    assert float(top / bottom) == pytest.approx(soft, 1e-4)
    held_out, _ = loss(batch, training=False)
    assert float(held_out) == pytest.approx(float(hard), 1e-6)


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    model, batch = _model("QuestionAnswering"), CASES["BertForQuestionAnswering"]
    given = Distillation(teacher_weight=1.0, hidden_weight=1.0)
    loss = DistillationLoss(model, model, given)
    found, _ = loss((batch.features(), batch.labels), training=True)
    assert float(found) == pytest.approx(0.0, abs=1e-6)


def test_a_student_starts_from_layers_of_its_teacher():
    teacher = _model("SequenceClassification")
    student = student_of(teacher, [1])
    values = {v.path: ops.convert_to_numpy(v) for v in teacher.weights}
    assert student.config.num_hidden_layers == 1
    for variable in student.weights:
        source = variable.path.replace("layer_0/", "layer_1/")
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), values[source])
    for layers in ([], [2], [-1]):
        with pytest.raises(ConfigError, match="layers of the teacher, from 0 to 1"):
            student_of(teacher, layers)


@pytest.mark.parametrize(
    "config, options, words",
    [
        (SMALL.replace(num_labels=4), {}, "the labels of the teacher"),
        (SMALL.replace(vocab_size=199), {}, "a vocabulary of one size"),
        (SMALL.replace(hidden_size=24), {"hidden_weight": 1.0}, "of one width"),
        (SMALL, {"hidden_weight": 1.0, "layers": {1: 3}}, "from 0 to 2. Received: 1:3"),
        (SMALL, {"temperature": 0.0}, "temperature above 0"),
        (SMALL, {"teacher_weight": 1.5}, r"teacher_weight in \[0, 1\]"),
    ],
)
def test_what_a_student_cannot_learn_is_refused(config, options, words):
    teacher = _model("SequenceClassification")
    student = _model("SequenceClassification", config)
    with pytest.raises(ConfigError, match=words):
        DistillationLoss(student, teacher, Distillation(**options))
