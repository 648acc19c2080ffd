"""The files of GLUE in their published forms."""

import pytest

from keras_bert.errors import InputError, MissingFileError
from keras_bert.families.bert import BertConfig
from keras_bert.tasks.glue_files import GLUE, glue_name, read_glue
from keras_bert.training.recipes import FINE_TUNING
from tests.paths import shared

ONE, TWO = 'One "film.', 'A "film'
PAIR = f"{ONE}\t{TWO}"
NLI = f"3\t1\t1n\tfiction\t( a )\t( b )\t(ROOT)\t(ROOT)\t{PAIR}"
NLI_HEADER = "index\tpromptID\tpairID\tgenre\tp1\tp2\tp3\tp4\tsentence1\tsentence2"
STS = f"3\tmain\tMSRvid\t2012\t0001\tnone\tnone\t{PAIR}"
STS_HEADER = "index\tgenre\tfilename\tyear\told_index\ts1\ts2\tsentence1\tsentence2"
PAIRS = "index\tsentence1\tsentence2"
MRPC = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String"
QQP = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate"

# Task, split, file, its header and a row, and the label of that.
PUBLISHED = """
cola|train|CoLA/train.tsv||gj04 0 * {ONE}|0
CoLA|test|CoLA/test.tsv|index sentence|3 {ONE}|None
cola|dev|cola_public/raw/in_domain_dev.tsv||gj04 1  {ONE}|1
cola|dev-out-of-domain|raw/out_of_domain_dev.tsv||gj04 1  {ONE}|1
sst2|dev|SST-2/dev.tsv|sentence label|{ONE} 1|1
SST-2|test|SST-2/test.tsv|index sentence|3 {ONE}|None
sst-2|test|test.tsv||{ONE} 0|0
mrpc|train|MRPC/train.tsv|{MRPC}|1 702 703 {PAIR}|1
mrpc|test|MRPC/test.tsv|{MRPC}|3 702 703 {PAIR}|None
mrpc|test|msr_paraphrase_test.txt|{MRPC}|0 702 703 {PAIR}|0
stsb|dev|STS-B/dev.tsv|{STS_HEADER} score|{STS} 2.800|2.800
sts-b|test|STS-B/test.tsv|{STS_HEADER}|{STS}|None
STSB|train|sts-train.csv||main f 2012 1 5.00 {PAIR} licence|5.00
qqp|dev|QQP/dev.tsv|{QQP}|133273 1 2 {PAIR} 0|0
qqp|test|QQP/test.tsv|id question1 question2|3 {PAIR}|None
mnli|train|MNLI/train.tsv|{NLI_HEADER} l1 gold_label|{NLI} neutral neutral|neutral
mnli_mm|dev|MNLI/dev_mismatched.tsv|{NLI_HEADER} l gold_label|{NLI} a neutral|neutral
mnli|dev-mismatched|dev_mismatched.tsv|{NLI_HEADER} gold_label|{NLI} neutral|neutral
MNLI-m|test|MNLI/test_matched.tsv|{NLI_HEADER}|{NLI}|None
qnli|dev|QNLI/dev.tsv|index question sentence label|3 {PAIR} entailment|entailment
RTE|train|RTE/train.tsv|{PAIRS} label|3 {PAIR} not_entailment|not_entailment
wnli|dev|WNLI/dev.tsv|{PAIRS} label|3 {PAIR} 1|1
wnli|test|WNLI/test.tsv|{PAIRS}|3 {PAIR}|None
"""


def _published():
    for line in PUBLISHED.strip().splitlines():
        task, split, file, header, row, label = line.split("|")
        cells = [text.replace(" ", "\t").format(**globals()) for text in (header, row)]
        yield task, split, file, *cells, None if label == "None" else label


@pytest.mark.parametrize(
    ("task", "split", "file", "header", "row", "label"), _published()
)
def test_published_files(tmp_path, task, split, file, header, row, label):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in (header, row) if line))
    for folder in (tmp_path, path.parent):
        (found,) = read_glue(folder, task, split)
        second = TWO if PAIR in row else None
        assert (found.text, found.text_pair, found.label) == (ONE, second, label)
        assert found.id == ("3" if split == "test" and label is None else None)
        assert found.row == (2 if header else 1)


@pytest.mark.parametrize(
    ("task", "file", "text", "error", "message"),
    [
        ("qnli", "dev.tsv", "0\ta\tb\tentailment\n", InputError, "names of columns"),
        (
            "stsb",
            "dev.tsv",
            f"{STS_HEADER}\tscore\n{STS}\tfine\n",
            InputError,
            "number",
        ),
        ("sst2", "dev.tsv", "sentence\tlabel\na\tgood\n", InputError, "'good'"),
        ("rte", "dev.txt", "", MissingFileError, r"dev.tsv.*Received: dev.txt"),
    ],
)
def test_files_of_another_form(tmp_path, task, file, text, error, message):
    (tmp_path / file).write_text(text)
    with pytest.raises(error, match=message):
        read_glue(tmp_path, task, "dev")


def test_broken_rows_of_quora_are_said(tmp_path, caplog):
    rows = [QQP, f"1\t2\t3\t{PAIR}\t1", "4\t5\t6\tHow do I", f"7\t8\t9\t{PAIR}\t0"]
    (tmp_path / "train.tsv").write_text("\n".join(rows) + "\n")
    assert [e.label for e in read_glue(tmp_path, "qqp", "train")] == ["1", "0"]
    assert "left out 1 rows without all 6 columns, the first in line 3" in caplog.text


def test_shared_files():
    sst2, cola = (shared("data", "classification", name) for name in ("sst2", "cola"))
    counts = {s: len(read_glue(sst2, "sst2", s)) for s in ("train", "dev", "test")}
    assert counts == {"train": 6920, "dev": 872, "test": 1821}
    assert len(read_glue(cola, "cola", "train")) == 8551
    assert len(read_glue(cola, "cola", "dev")) == 527


def test_names_labels_and_recipes():
    assert glue_name("multi-nli") is None
    assert {task.recipe for task in GLUE.values()} <= set(FINE_TUNING)
    for name, task in GLUE.items():
        assert FINE_TUNING[task.recipe].regression == (not task.labels)
        assert glue_name(name.upper().replace("-", "_")) == name


@pytest.mark.parametrize(
    ("task", "names", "expected", "warned"),
    [
        ("sst-2", None, ["0", "1"], False),
        ("sst-2", ["POSITIVE", "NEGATIVE"], ["1", "0"], False),
        ("mnli", ["ENTAILMENT", "NEUTRAL", "CONTRADICTION"], None, False),
        ("mnli", ["LABEL_0", "LABEL_1", "LABEL_2"], list(GLUE["mnli"].labels), True),
        ("sts-b", ["LABEL_0"], None, False),
    ],
)
def test_labels_in_the_order_of_a_model(task, names, expected, warned, caplog):
    config = BertConfig(id2label=names and dict(enumerate(names)))
    if task == "mnli" and not warned:
        expected = [name.lower() for name in names]
    assert GLUE[task].labels_for(config) == expected
    assert bool(caplog.records) == warned
