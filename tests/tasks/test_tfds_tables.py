"""Data sets of TensorFlow Datasets by name, with texts of their own making."""

import numpy as np
import pytest

from keras_bert.errors import InputError
from keras_bert.pretraining.sources.items import prepared
from keras_bert.tasks import Example, MaskedLanguageModel, read_examples
from keras_bert.tasks.conll_files import read_sentences
from keras_bert.tasks.glue_files import read_glue
from keras_bert.tasks.question_files import read_questions
from keras_bert.tasks.tables import Table
from keras_bert.tasks.tfds_tables import Address, with_split


@pytest.fixture
def mocked():
    tfds = pytest.importorskip("tensorflow_datasets")
    with tfds.testing.mock_data(num_examples=5):
        yield tfds


def test_texts_and_names_of_classes(mocked):
    found = read_examples("tfds:imdb_reviews:train")
    assert [example.row for example in found] == [1, 2, 3, 4, 5]
    assert {example.label for example in found} <= {"neg", "pos"}
    assert all(isinstance(example.text, str) for example in found)
    rows = MaskedLanguageModel.rows(None, "tfds:imdb_reviews:test")
    assert len(rows) == 5 and all(isinstance(row, str) for row in rows)


def test_tasks_of_glue(mocked):
    (first, *_) = read_examples("tfds:glue/mnli:train", text_pair="text_pair")
    assert first.label in ("contradiction", "entailment", "neutral")
    assert isinstance(first.text_pair, str)
    (named, *_) = Table("tfds:glue/qnli:train").rows(
        {"text": "text", "text_pair": "text_pair"}
    )
    assert named.cells.keys() == {"text", "text_pair"}
    found = read_glue("tfds:glue/sst2", "sst2", "dev")
    assert {example.label for example in found} <= {"0", "1"}
    assert isinstance(found[0], Example) and isinstance(found[0].id, int)
    assert len(read_glue("tfds:glue/mnli", "mnli-mm", "dev")) == 5


QUESTION = {
    "question": "Who?",
    "context": "Ada wrote.",
    "tokens": ["Ada", "wrote"],
    "ner": [1, 0],
    "chunks": [0, 0],
    "answers": [{"text": t, "answer_start": n} for t, n in (("Ada", 0), ("da", 1))],
}


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    """The directory of a data set, of texts with classes and lists of classes."""
    tfds = pytest.importorskip("tensorflow_datasets")
    kinds = tfds.features.ClassLabel(names=["no", "yes"])

    class TinyTexts(tfds.core.GeneratorBasedBuilder):
        """Three texts."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {"text": tfds.features.Text(), "label": kinds}
            features["all"] = tfds.features.Sequence(kinds)
            features |= {name: tfds.features.Text() for name in ("question", "context")}
            for name in ("tokens", "ner", "chunks"):
                kind = tfds.features.Text() if name == "tokens" else kinds
                features[name] = tfds.features.Sequence(kind)
            answer = {"text": tfds.features.Text(), "answer_start": np.int32}
            features["answers"] = tfds.features.Sequence(answer)
            features = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, manager):
            return {
                "train": self._generate_examples(),
                "held": [(0, {"text": "a", "label": 1, "all": [], **QUESTION})],
            }

        def _generate_examples(self):
            for n, label in enumerate((1, 0, -1)):
                yield (
                    n,
                    {"text": "é" * n, "label": label, "all": [1, 0][:n], **QUESTION},
                )

    folder = tmp_path_factory.mktemp("tfds")
    TinyTexts(data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture
def tiny(on_disk, monkeypatch):
    name = "keras_bert.tasks.tfds_tables.prepared"
    monkeypatch.setattr(name, lambda name, _: prepared(name, on_disk))


def test_values(tiny):
    columns = {"text": "text", "label": "label", "all": "all"}
    rows = Table("tfds:tiny_texts:train").rows(columns)
    found = sorted(rows, key=lambda row: len(row.cells["text"] or ""))
    assert [tuple(row.cells.values()) for row in found] == [
        (None, "yes", []),
        ("é", "no", ["yes"]),
        ("éé", None, ["yes", "no"]),
    ]
    assert len(list(Table("tfds:tiny_texts:train[:2]").rows(columns))) == 2


def test_questions(tiny):
    (found,) = read_questions("tfds:tiny_texts:held")
    assert found.text == "Who?" and found.passage.text == "Ada wrote."
    assert found.answers == (("Ada", 0), ("da", 1))


def test_tagged_words(tiny):
    (found,) = read_sentences("tfds:tiny_texts:held")
    assert (found.words, found.tags) == (("Ada", "wrote"), ("yes", "no"))
    (found,) = read_sentences("tfds:tiny_texts:held", label="chunks")
    assert found.tags == ("no", "no")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tfds:tiny_texts", "train, held; as in tfds:tiny_texts:train. R.* none"),
        ("tfds:tiny_texts:dev", "Received: dev"),
        ("tfds:tiny_texts:train", "Received: .*text"),
        ("tfds:no_such:train", r"'no_such': Dataset no_such not found\.$"),
        ("tfds:", "tfds:NAME"),
    ],
)
def test_what_there_is_not(tiny, source, message):
    with pytest.raises(InputError, match=message):
        list(Table(source).rows({"text": "review"}))


def test_addresses():
    whole = Address.of("tfds:glue/sst2:2.0.0:train[:10%]+test")
    assert whole == ("glue/sst2:2.0.0", "train[:10%]+test")
    assert Address.of("tfds:a/b:1.*.*").split is None
    assert with_split("tfds:a:test", "train") == "tfds:a:test"
    data = [Example("a")]
    assert with_split(data, "train") is data
