"""Answers made inside the graph, beside those of the libraries users know them from.

Spans and entities are compared with Hugging Face's own functions, seqeval, and plain
loops; embeddings with torch.
"""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_bert
from keras_bert import BertTokenizer
from keras_bert.errors import InputError
from keras_bert.serving.graph import entities, spans
from keras_bert.serving.graph.answers import TASKS
from keras_bert.serving.graph.characters import cut
from keras_bert.serving.graph.servable import Servable
from keras_bert.serving.graph.settings import AnswerSettings, Request
from keras_bert.serving.predictor import Predictor
from keras_bert.tokenization.in_graph import InGraphTokenizer
from tests.bounds import assert_close
from tests.paths import shared
from tests.serving.cases import CONFIG, TEXTS, VOCAB, make_model
from tests.vocabulary import SPECIAL

LETTERS = [*"abc", "e", "##e", "##a", "##b", "run", "##ning", ".", "-", "東", "京"]
TOKENIZER = BertTokenizer([*SPECIAL, *LETTERS])
# Marks that combine and vanish, ideographs, emoji, words that are unknown.
WORDS = ["a", "abe", "running", "東京", "é", "e\u0301a", "😀", "a-b.", "zz", "c\u200b"]
PASSAGES = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)


def settings_of(max_length, doc_stride, max_answer_length=30, labels=()):
    tokenizer = in_graph(max_length)
    return AnswerSettings(tokenizer, labels, max_length, doc_stride, max_answer_length)


def in_graph(max_length, made={}):  # noqa: B006
    if max_length not in made:
        made[max_length] = InGraphTokenizer.from_tokenizer(TOKENIZER, max_length)
    return made[max_length]


def numpy(tensors):
    return {name: value.numpy() for name, value in tensors.items()}


# === Spans ===


def span_answers(questions, passages, settings, seed):
    """Returns features, random logits for them, and what is answered."""
    texts = {"text": tf.constant(questions), "text_pair": tf.constant(passages)}
    features = spans.encode(settings, **texts)
    rng = np.random.default_rng(seed)
    outputs = {
        name: tf.constant(rng.normal(0, 4, features["input_ids"].shape), tf.float32)
        for name in ("start_logits", "end_logits")
    }
    answer = spans.answer(outputs, Request(texts, features, settings))
    return numpy(features), numpy(outputs), numpy(answer)


def softmax(logits):
    powers = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    return powers / powers.sum()


def best_by_hand(features, outputs, sample, max_answer_length):
    """The best span of a sample by looking at every one: score, row, first, last."""
    found, none = [(0.0, 0, 0, 0)], []
    for row in np.flatnonzero(features["overflow_to_sample_mapping"] == sample):
        types, offsets = features["token_type_ids"][row], features["offset_mapping"]
        own = [i for i, t in enumerate(types) if t == 1 and offsets[row, i, 1] > 0]
        places = [0, *own]
        start, end = (
            dict(zip(places, softmax(outputs[name][row, places]), strict=True))
            for name in ("start_logits", "end_logits")
        )
        none.append(start[0] * end[0])
        found += [
            (start[i] * end[j], row, i, j)
            for i, j in itertools.product(own, own)
            if i <= j < i + max_answer_length
        ]
    return max(found), min(none)


def whole_words(features, row, first, last):
    """The place of a span, widened to the words of its window."""
    tokens = TOKENIZER.convert_ids_to_tokens(features["input_ids"][row])
    offsets = features["offset_mapping"][row]
    while tokens[first].startswith("##") and offsets[first - 1, 1] > 0:
        first -= 1
    while tokens[last + 1].startswith("##"):
        last += 1
    return offsets[first, 0], offsets[last, 1]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_best_span_is_found_among_all_windows(data):
    passages = data.draw(st.lists(PASSAGES, min_size=1, max_size=3))
    questions = data.draw(
        st.lists(PASSAGES, min_size=len(passages), max_size=len(passages))
    )
    max_length, stride, longest = data.draw(
        st.sampled_from([(13, 3, 2), (13, 1, 30), (23, 5, 4), (23, 9, 30), (67, 16, 7)])
    )
    chosen = settings_of(max_length, stride, longest)
    features, outputs, answer = span_answers(
        questions, passages, chosen, data.draw(st.integers(0, 99))
    )
    for sample, passage in enumerate(passages):
        best, none = best_by_hand(features, outputs, sample, longest)
        score, row, first, last = best
        np.testing.assert_allclose(answer["score"][sample], score, rtol=1e-4)
        np.testing.assert_allclose(answer["no_answer_score"][sample], none, rtol=1e-4)
        start, end = answer["start"][sample], answer["end"][sample]
        assert answer["answer"][sample].decode() == passage[start:end]
        if score:
            assert (start, end) == whole_words(features, row, first, last)
        else:
            assert (start, end) == (0, 0) and not passage.strip("\u200b ")


@pytest.mark.parametrize("longest", [1, 2, 3, 7, 30])
def test_spans_of_many_rows_are_the_best_of_all_pairs(longest):
    rng = np.random.default_rng(longest)
    start, end = rng.normal(0, 9, (2, 99, 13)).astype("float32")
    allowed = rng.random((99, 13)) < 0.7
    allowed[:, 0], allowed[:, 5] = False, True
    found = spans.best_spans(start, end, tf.constant(allowed), longest)
    for row, places in enumerate(allowed):
        own = np.flatnonzero(places)
        pairs = [(i, j) for i in own for j in own if i <= j < i + longest]
        first, last = max(pairs, key=lambda p: start[row, p[0]] + end[row, p[1]])
        assert (found.first[row], found.last[row]) == (first, last)


@settings(max_examples=20, deadline=None)
@given(passage=PASSAGES.filter(str.strip), seed=st.integers(0, 99))
def test_a_window_is_read_as_hugging_face_reads_it(passage, seed):
    module = pytest.importorskip("transformers.pipelines.document_question_answering")
    chosen = settings_of(67, 16, 5)
    features, outputs, answer = span_answers(["a b"], [passage], chosen, seed)
    candidates = []
    for row, types in enumerate(features["token_type_ids"]):
        offsets = features["offset_mapping"][row]
        asked = (types == 1) & (offsets[:, 1] > 0)
        asked[0] = True  # [CLS] is read as "no answer"
        starts, ends, scores, _ = module.select_starts_ends(
            outputs["start_logits"][row : row + 1],
            outputs["end_logits"][row : row + 1],
            1 - asked[None].astype(int),
            features["attention_mask"][row : row + 1],
            top_k=1,
            max_answer_len=5,
        )
        for i, j, score in zip(starts, ends, scores, strict=True):
            candidates.append((score, offsets[i, 0], offsets[j, 1]))
    score, start, end = max(candidates)
    np.testing.assert_allclose(answer["score"][0], score, rtol=1e-4)
    assert answer["start"][0] <= start and end <= answer["end"][0]


# What the question-answering pipeline of transformers 4.57.6 makes of the golden
# checkpoint, the adding up of candidates of equal text left out: max_length,
# doc_stride and max_answer_length; answer, start, end, score, score of no answer.
DOG = "The cat ran over the mat, and then the dog ran after it. Nobody else was there "
COFFEE = "Café naïve résumé: Übermut kam 😀 vor dem Fall, sagte e\u0301lan 東京 大学."
TOKYO = (
    "東京は日本の首都です。 a quick brown fox; jumps over 12 lazy dogs ☃☃ and 'quoted' "
    "words — all day long, every day"
)
LONG, SHORT = (41, 10, 30), (25, 6, 4)
PIPELINE = [
    ("who ran", f"{DOG}at noon.", LONG, "there at noon", 73, 86, 0.0185156, 0.00184774),
    ("who ran", f"{DOG}at noon.", SHORT, "noon.", 82, 87, 0.0349309, 0.00576412),
    ("what", COFFEE, LONG, "Fall, sagte", 41, 52, 0.0130956, 0.00154700),
    ("what", COFFEE, SHORT, "sagte", 47, 52, 0.0174433, 0.00467825),
    ("is it", "No.", LONG, "No", 0, 2, 0.0783737, 0.116908),
    ("is it", "No.", SHORT, "No", 0, 2, 0.0783737, 0.116908),
    ("why", TOKYO, LONG, "all day long", 79, 91, 0.0100007, 0.00110964),
    ("why", TOKYO, SHORT, "long, every", 87, 98, 0.0260203, 0.00329860),
]


@pytest.mark.parametrize("limits", [LONG, SHORT])
def test_answers_are_those_of_the_pipeline(limits):
    path = shared("goldens", "hf_bert_qa")
    model = keras_bert.BertForQuestionAnswering.from_pretrained(path)
    max_length, doc_stride, max_answer_length = limits
    predict = Predictor(
        model,
        BertTokenizer.from_pretrained(path),
        max_length=max_length,
        doc_stride=doc_stride,
        max_answer_length=max_answer_length,
    )
    cases = [case for case in PIPELINE if case[2] == limits]
    rows = predict([case[0] for case in cases], [case[1] for case in cases])
    for row, (_, _, _, answer, start, end, score, none) in zip(
        rows, cases, strict=True
    ):
        assert row["answer"].decode() == answer
        assert (row["start"], row["end"]) == (start, end)
        np.testing.assert_allclose(row["score"], score, rtol=1e-5)
        np.testing.assert_allclose(row["no_answer_score"], none, rtol=1e-5)


def test_a_long_question_leaves_room_for_the_passage():
    chosen = settings_of(23, 5)
    assert chosen.max_question_length == 7
    features = spans.encode(chosen, tf.constant(["a b c " * 99]), tf.constant(["a"]))
    types = features["token_type_ids"].numpy()[0]
    assert types.tolist() == [0] * 9 + [1] * 2
    assert settings_of(384, 128).max_question_length == 64


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(st.binary(max_size=9) | st.text(max_size=9), min_size=1, max_size=3)
)
def test_pieces_are_cut_by_code_points(texts):
    texts = [text.encode() if isinstance(text, str) else text for text in texts]
    whole = [tf.strings.unicode_transcode(t, "UTF-8", "UTF-8").numpy() for t in texts]
    whole = [text.decode() for text in whole]
    places = [
        (row, begin, end)
        for row, text in enumerate(whole)
        for begin, end in itertools.combinations_with_replacement(
            range(len(text) + 1), 2
        )
    ]
    received = cut(tf.constant(texts), *map(list, zip(*places, strict=True))).numpy()
    expected = [whole[row][begin:end] for row, begin, end in places]
    assert [piece.decode() for piece in received] == expected


# === Entities ===

IOB = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
PLAIN = ("O", "PER", "LOC")
NONE_OUTSIDE = ("NOUN", "VERB")
# The labels of other schemes, and seqeval's letters for theirs.
SCHEMES = {
    letters: ("O", *(f"{letter}-{kind}" for letter in letters for kind in "XY"))
    for letters in ("BI", "IE", "BIS", "BIES", "BMES", "BILU")
}
PEER_LETTERS = {"M": "I", "L": "E", "U": "S"}


def entity_answers(texts, settings, logits_of):
    """Returns features, and the entities of each text as tuples."""
    texts = {"text": tf.constant(texts, tf.string)}
    features = entities.encode(settings, **texts)
    logits = logits_of(features)
    outputs = {"logits": tf.constant(logits, tf.float32)}
    answer = numpy(entities.answer(outputs, Request(texts, features, settings)))
    rows = []
    for sample, count in enumerate(answer["count"]):
        rest = {
            name: answer[name][sample, count:] for name in answer if name != "count"
        }
        assert not any(rest["entity"]) and not any(rest["text"])
        assert (rest["start"] == -1).all() and (rest["end"] == -1).all()
        columns = ("entity", "text", "start", "end", "score")
        values = [answer[name][sample, :count].tolist() for name in columns]
        rows.append(list(zip(*values, strict=True)))
    return numpy(features), rows


def random_logits(labels, seed):
    rng = np.random.default_rng(seed)
    return lambda f: rng.normal(0, 2, (*f["input_ids"].shape, len(labels)))


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory):
    """Hugging Face's pipelines, by the labels of their models."""
    transformers = pytest.importorskip("transformers")
    path = tmp_path_factory.mktemp("tokenizer")
    (path / "vocab.txt").write_text("\n".join([*SPECIAL, *LETTERS]) + "\n", "utf-8")
    tokenizer = transformers.BertTokenizerFast.from_pretrained(str(path))

    def make(labels):
        config = transformers.BertConfig(
            vocab_size=len(TOKENIZER),
            hidden_size=12,
            num_hidden_layers=1,
            num_attention_heads=3,
            intermediate_size=14,
            id2label=dict(enumerate(labels)),
        )
        return transformers.TokenClassificationPipeline(
            model=transformers.BertForTokenClassification(config), tokenizer=tokenizer
        )

    return {labels: make(labels) for labels in (IOB, PLAIN, NONE_OUTSIDE)}


# Their way to tell whether a token continues a word is to compare its length with
# that of its text: other than ours where a mark vanished.
SAME_LENGTH = ["a", "abe", "running", "東京", "é", "😀", "a-b.", "zz"]


@settings(max_examples=25, deadline=None)
@given(
    words=st.lists(st.sampled_from(SAME_LENGTH), max_size=30),
    labels=st.sampled_from([IOB, PLAIN, NONE_OUTSIDE]),
    seed=st.integers(0, 99),
)
def test_entities_are_those_of_the_pipeline(pipelines, words, labels, seed):
    torch = pytest.importorskip("torch")
    text = " ".join(words)
    kept = {}

    def logits_of(features):
        kept["logits"] = random_logits(labels, seed)(features)
        return kept["logits"]

    chosen = settings_of(256, 64, labels=labels)
    features, [received] = entity_answers([text], chosen, logits_of)
    ends = features["offset_mapping"][..., 1]
    outputs = {
        "sentence": text,
        "logits": torch.tensor(kept["logits"], dtype=torch.float32),
        "special_tokens_mask": torch.tensor((ends == 0).astype(int)),
        "offset_mapping": torch.tensor(features["offset_mapping"]),
        "input_ids": torch.tensor(features["input_ids"]),
    }
    expected = pipelines[labels].postprocess([outputs], _first())
    assert [(e.decode(), a, b) for e, _, a, b, _ in received] == [
        (e["entity_group"], e["start"], e["end"]) for e in expected
    ]
    np.testing.assert_allclose(
        [row[-1] for row in received], [e["score"] for e in expected], rtol=1e-5
    )
    for _, piece, start, end, _ in received:
        assert piece.decode() == text[start:end]


def _first():
    from transformers.pipelines.token_classification import AggregationStrategy

    return AggregationStrategy.FIRST


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(list(SCHEMES.values())), st.data())
def test_entities_are_those_of_seqeval_at_any_length(names, data):
    """Texts of up to six windows; the labels belong to words, whatever the window."""
    labeling = pytest.importorskip("seqeval.metrics.sequence_labeling")
    row = st.lists(st.sampled_from(names), max_size=40)
    rows = data.draw(st.lists(row, min_size=1, max_size=3))

    def logits_of(features):
        # One word, one token, of a letter: its place in the text tells its number.
        number = features["offset_mapping"].numpy()[..., 0] // 2
        logits = np.zeros((*number.shape, len(names)))
        for place in np.ndindex(number.shape):
            sample = features["overflow_to_sample_mapping"][place[0]]
            if features["offset_mapping"][place][1] > 0:
                label = rows[int(sample)][number[place]]
                logits[(*place, names.index(label))] = 9
        return logits

    chosen = settings_of(13, 4, labels=names)
    texts = [" ".join("a" * len(labels)) for labels in rows]
    _, received = entity_answers(texts, chosen, logits_of)
    for labels, found in zip(rows, received, strict=True):
        known = [PEER_LETTERS.get(label[0], label[0]) + label[1:] for label in labels]
        expected = labeling.get_entities(known)
        assert [(e.decode(), a, b) for e, _, a, b, _ in found] == [
            (kind, 2 * first, 2 * last + 1) for kind, first, last in expected
        ]


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=3),
    limits=st.sampled_from([(13, 3), (13, 4), (13, 1), (23, 9), (7, 1)]),
)
def test_every_token_is_read_where_it_has_most_context(sizes, limits):
    chosen = settings_of(*limits, labels=PLAIN)
    texts = {"text": tf.constant([" ".join("a" * n) for n in sizes], tf.string)}
    features = entities.encode(chosen, **texts)
    kept = entities.kept(features, chosen).numpy()
    room = limits[0] - 2
    context = {}
    for row, column in np.ndindex(kept.shape):
        begin, end = features["offset_mapping"][row, column].numpy()
        if end == 0:
            assert not kept[row, column]
            continue
        token = int(features["overflow_to_sample_mapping"][row]), begin // 2
        # Beyond the text's own edges is nothing that a window could lack.
        number, size = begin // 2, sizes[token[0]]
        left = np.inf if number == column - 1 else column - 1
        right = np.inf if number + room - column >= size - 1 else room - column
        context.setdefault(token, []).append(
            (min(left, right), bool(kept[row, column]))
        )
    assert len(context) == sum(sizes)
    for windows in context.values():
        assert sum(chosen for _, chosen in windows) == 1
        assert next(c for c, chosen in windows if chosen) == max(windows)[0]


def test_no_entities_are_an_empty_table():
    chosen = settings_of(13, 3, labels=("O",))
    texts = {"text": tf.constant(["a b", ""])}
    features = entities.encode(chosen, **texts)
    outputs = {"logits": tf.zeros([*features["input_ids"].shape, 1])}
    answer = entities.answer(outputs, Request(texts, features, chosen))
    assert answer.pop("count").numpy().tolist() == [0, 0]
    assert {value.shape.as_list().__str__() for value in answer.values()} == {"[2, 0]"}


def test_an_entity_of_chinese_tags_is_one():
    labels = ("O", "B-LOC", "M-LOC", "E-LOC")
    best = tf.one_hot([[0, 1, 2, 3, 0]], 4)  # of [CLS] 東 京 東 [SEP]
    _, [found] = entity_answers(
        ["東京東"], settings_of(13, 3, labels=labels), lambda _: best
    )
    assert [(kind, text) for kind, text, *_ in found] == [(b"LOC", "東京東".encode())]


def test_labels_of_several_schemes_are_refused():
    with pytest.raises(InputError, match="of one tagging scheme"):
        entity_answers(
            ["a"],
            settings_of(13, 3, labels=("O", "B-X", "Y")),
            lambda features: tf.zeros([*features["input_ids"].shape, 3]),
        )


# === Embeddings ===


def by_torch(outputs, mask):
    """What sentence-transformers computes, in torch, by name."""
    import torch

    hidden, kept = outputs.last_hidden_state, mask[..., None].float()
    return {
        "mean": (hidden * kept).sum(1) / torch.clamp(kept.sum(1), min=1e-9),
        "max": hidden.masked_fill(kept == 0, -1e9).max(1).values,
        "cls": hidden[:, 0],
        "pooler": outputs.pooler_output,
    }


@pytest.fixture(scope="module")
def encoder():
    """A model and its tokenizer; texts, their features, and torch's vectors."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    path = shared("goldens", "hf_bert_model_gelu")
    tokenizer = BertTokenizer.from_pretrained(path)
    texts = ["the cat ran", "", "a fox jumps over the lazy dogs " * 9, "é 東"]
    features = tokenizer(texts, max_length=37)
    inputs = {name: torch.tensor(ids) for name, ids in features.items()}
    reference = transformers.BertModel.from_pretrained(path).eval()
    with torch.no_grad():
        vectors = by_torch(reference(**inputs), inputs["attention_mask"])
    model = keras_bert.BertModel.from_pretrained(path)
    return model, tokenizer, texts, features, vectors


@pytest.mark.parametrize(
    "pooling, normalize",
    [("mean", False), ("mean", True), ("max", False), ("cls", True), ("pooler", False)],
)
def test_embeddings_are_those_of_torch(pooling, normalize, encoder):
    import torch

    model, _, _, features, vectors = encoder
    expected = vectors[pooling]
    if normalize:
        expected = torch.nn.functional.normalize(expected, dim=1)
    servable = Servable(model, None, embeddings=pooling, normalize=normalize)
    ids = {name: tf.constant(value) for name, value in features.items()}
    received = servable.functions["serve_ids"](**ids)
    assert set(received) == {"embeddings"}
    assert received["embeddings"].dtype == tf.float32
    assert_close(received["embeddings"], expected)


def test_texts_become_the_vectors_of_their_ids(encoder):
    model, tokenizer, texts, _, vectors = encoder
    rows = Predictor(model, tokenizer, max_length=37, embeddings="mean")(texts)
    received = [row["embeddings"] for row in rows]
    assert_close(received, vectors["mean"])


def test_rows_without_tokens_have_finite_embeddings():
    servable = Servable(make_model("encoder"), None, embeddings="mean", normalize=True)
    ids = tf.ones([2, 5], tf.int32)
    mask = tf.constant([[0] * 5, [1, 1, 0, 0, 0]])
    vectors = servable.functions["serve_ids"](ids, mask, ids * 0)["embeddings"]
    assert vectors.numpy()[0].tolist() == [0] * CONFIG.hidden_size
    np.testing.assert_allclose(np.linalg.norm(vectors[1]), 1, rtol=1e-6)


# === In process ===


def test_rows_are_not_padded_to_the_longest_of_their_batch():
    model = keras_bert.BertForTokenClassification(
        CONFIG.replace(id2label={0: "O", 1: "B-X", 2: "I-X"}), seed=3
    )
    tokenizer = BertTokenizer(VOCAB)
    predict = Predictor(model, tokenizer, max_length=13)
    together, alone = predict(TEXTS), [predict([text])[0] for text in TEXTS]
    assert len({int(row["count"]) for row in together}) > 1
    for row, other in zip(together, alone, strict=True):
        assert {len(row[name]) for name in row if name != "count"} == {row["count"]}
        assert row["text"].tolist() == other["text"].tolist()
        assert_close(row["score"], other["score"])
    with pytest.raises(InputError, match="takes one text"):
        predict(TEXTS, TEXTS)


def test_texts_and_pairs_of_unequal_number_are_an_error():
    servable = Servable(make_model("answers"), BertTokenizer(VOCAB), 13)
    for pairs in (["a"], ["a", "a", "a"]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="as many"):
            servable.on_text(pairs=True)(
                text=tf.constant(["a", "a"]), text_pair=tf.constant(pairs)
            )


def test_every_head_says_what_it_does():
    tasks = [task.name for task in TASKS.values()]
    assert len({*tasks}) == len(tasks) and all(tasks)
