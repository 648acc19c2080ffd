"""Scripts written for `transformers` compute the same with their imports replaced.

Every file of `scripts/` is run twice as it is, but for the name of the module that it
imports from: with this package, and with the torch classes of `transformers`.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.bounds import bound
from tests.compat import family_calls
from tests.vocabulary import SPECIAL

pytest.importorskip("tensorflow")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SCRIPTS = sorted(Path(__file__).with_name("scripts").glob("*.py"))
WORDS = """a and angela bad berlin cafe each example film good great guess i in is it
lives lovely movie no okay of one paris sentence she story the there this time total
total very was waste who why with yes ##s ##converted ##é 北 京 . , ! ? [ ] ' an"""
SIZES = {
    "vocab_size": 64,
    "hidden_size": 20,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "intermediate_size": 28,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
LABELS = ["negative", "neutral", "positive"]
# What is trained differs by rounding that grows with every step.
TRAINED = {"finetune": 400, "own_optimizer": 400, "functional": 60}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with the checkpoints that the scripts name."""
    folder = tmp_path_factory.mktemp("scripts")
    torch.manual_seed(7)
    named = {"id2label": dict(enumerate(LABELS))}
    config = transformers.BertConfig(**SIZES)
    labeled = transformers.BertConfig(**SIZES, **named)
    distil = transformers.DistilBertConfig(
        vocab_size=64, dim=20, n_layers=2, n_heads=5, hidden_dim=28, **named,
        max_position_embeddings=40, initializer_range=0.3,
    )  # fmt: skip
    for name, model in {
        "bert-base-uncased": transformers.BertForPreTraining(config),
        "my-classifier": transformers.BertForSequenceClassification(labeled),
        "my-ner": transformers.BertForTokenClassification(labeled),
        "my-qa": transformers.BertForQuestionAnswering(config),
        "my-distilbert": transformers.DistilBertForSequenceClassification(distil),
    }.items():
        model.save_pretrained(folder / name)
        words = [*SPECIAL, *dict.fromkeys(WORDS.split())]
        (folder / name / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    save_families(folder, named)
    return folder


def save_families(folder, named):
    """Writes checkpoints whose tokenizers are not WordPiece."""
    sizes = SIZES | {"max_position_embeddings": 44, "pad_token_id": 1}
    sizes["vocab_size"] = len(family_calls.byte_pairs()[0])
    config = transformers.RobertaConfig(**sizes, **named)
    for name, model in {
        "my-roberta": transformers.RobertaForSequenceClassification(config),
        "my-roberta-lm": transformers.RobertaForMaskedLM(config),
        "my-xlm-roberta": transformers.XLMRobertaModel(
            transformers.XLMRobertaConfig(**sizes)
        ),
    }.items():
        model.save_pretrained(folder / name)
        family_calls.write_files(folder / name)
        unused = "tokenizer.json" if name != "my-xlm-roberta" else "vocab.json"
        (folder / name / unused).unlink()
        mask = {"content": "<mask>", "lstrip": True}
        settings = json.dumps({"mask_token": {"__type": "AddedToken", **mask}})
        (folder / name / "tokenizer_config.json").write_text(settings)


def run(script, module, place, monkeypatch):
    monkeypatch.chdir(place)
    source, changed = re.subn(
        r"^from transformers import",
        f"from {module} import",
        script.read_text(),
        flags=re.M,
    )
    assert changed == 1
    namespace = {"__name__": "__main__"}
    exec(compile(source, str(script), "exec"), namespace)
    return namespace["result"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_computes_the_same(script, place, monkeypatch):
    own = run(script, "keras_bert.transformers", place, monkeypatch)
    expected = run(script, "tests.compat.torch_side", place, monkeypatch)
    assert list(own) == list(expected)
    for key, want in expected.items():
        if isinstance(want, float | np.ndarray):
            limit = bound(np.asarray(want), TRAINED.get(script.stem, 32))
            np.testing.assert_allclose(own[key], want, 0, limit, err_msg=key)
        else:
            assert own[key] == want, key
