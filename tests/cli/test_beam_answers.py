"""Rows answered on Apache Beam: in order, each once, in several processes."""

import json
import os

import numpy as np
import pytest

pytest.importorskip("apache_beam")

from keras_bert.cli.beam_answers import answers_on_beam
from keras_bert.errors import InputError
from keras_bert.tasks import Example
from tests.cli.calling import call
from tests.serving.cases import TEXTS, make_model

PROCESSES = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]


class Counting:
    """Answers with the length of a text, and who answered in how large a batch."""

    def __call__(self, examples):
        for e in examples:
            yield {"length": len(e.text), "by": os.getpid(), "batch": len(examples)}


@pytest.mark.parametrize(
    "options", [[], pytest.param(PROCESSES, marks=pytest.mark.slow)]
)
def test_answers_come_in_order_and_those_of_blank_rows_are_null(options, tmp_path):
    texts = [None if n % 7 == 3 else "ж" * n for n in range(40)]
    rows = [Example(text, row=n, id=f"i{n}") for n, text in enumerate(texts, 1)]
    options = ["--runner=DirectRunner", *options]
    found = list(answers_on_beam(rows, Counting, 5, options, tmp_path))
    assert [row["row"] for row in found] == list(range(1, 41))
    lengths = [None if text is None else len(text) for text in texts]
    assert [row["length"] for row in found] == lengths
    assert [row["id"] for row in found][:2] == ["i1", "i2"]
    assert (os.getpid() in {row["by"] for row in found}) == (len(options) == 1)
    assert max(row["batch"] or 0 for row in found) <= 5
    assert not list(tmp_path.iterdir())  # nothing is left


def test_no_rows_are_refused(tmp_path):
    with pytest.raises(InputError, match="at least one row"):
        list(answers_on_beam([], Counting, 5, PROCESSES, tmp_path))


@pytest.mark.slow
def test_predict_and_embed_answer_as_one_process_does(tmp_path, tokenizer):
    rows = [TEXTS[n % len(TEXTS)] + " film" * (n % 3) for n in range(30)]
    (table := tmp_path / "t.txt").write_text("\n".join([*rows[:9], "", *rows[9:]]))
    beam = ("--runner", "DirectRunner", "--beam-options", " ".join(PROCESSES))
    for case, command, suffix in [
        ("classes", "predict", ".jsonl"),
        ("encoder", "embed", ".npy"),
    ]:
        path = tmp_path / case
        make_model(case).save_pretrained(path, tokenizer=tokenizer)
        found = []
        for number, flags in enumerate([(), beam]):
            output = tmp_path / f"{case}{number}{suffix}"
            files = ("--model", path, "--input", table, "--output", output)
            done = call(command, *files, "--batch-size", 4, *flags)
            assert done.status == 0, done.err
            found.append(_read(output))
        names = [[row.pop("label", None) for row in each] for each in found]
        assert names[0] == names[1] and len(names[0]) == 31
        for one, other in zip(*found, strict=True):
            assert one.keys() == other.keys()
            for key, value in one.items():
                value = np.nan if value is None else value
                np.testing.assert_allclose(
                    np.float64(other[key]), value, rtol=1e-5, atol=1e-6
                )


def _read(path):
    if path.suffix == ".npy":
        return [{"embedding": vector} for vector in np.load(path)]
    return [json.loads(line) for line in path.read_text().splitlines()]
