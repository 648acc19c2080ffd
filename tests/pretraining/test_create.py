"""Text to records: both policies, settings, the command line."""

import gzip
import hashlib
import json
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_bert import BertTokenizer
from keras_bert.cli import main
from keras_bert.errors import (
    ConfigError,
    ExistingOutputError,
    InputError,
    MissingFileError,
    UnknownNameError,
)
from keras_bert.pretraining import DataSettings, create_pretraining_data, pipeline
from keras_bert.pretraining.names import output_names
from keras_bert.pretraining.sources import TextFiles
from tests.paths import shared
from tests.vocabulary import SPECIAL

WORDS = [f"{a}{b}" for a in "bcdfghjklm" for b in "aeiou"]
VOCAB = [*SPECIAL, *WORDS, *(f"##{word}" for word in WORDS)]
SMALL = DataSettings(max_seq_length=37, max_predictions_per_seq=7, dupe_factor=2)


@pytest.fixture
def corpus(tmp_path) -> Path:
    """Forty documents of made-up words in two files."""
    rng = np.random.default_rng(11)

    def sentence() -> str:
        sizes = rng.integers(1, 4, rng.integers(2, 15))
        return " ".join("".join(rng.choice(WORDS, size)) for size in sizes)

    for name in ("a.txt", "b.txt"):
        documents = [
            [sentence() for _ in range(rng.integers(1, 13))] for _ in range(20)
        ]
        text = "\n\n".join("\n".join(lines) for lines in documents)
        (tmp_path / name).write_text(text)
    return tmp_path


def examples(*paths: Path) -> list[tf.train.Example]:
    records = tf.data.TFRecordDataset([str(path) for path in paths])
    return [tf.train.Example.FromString(record.numpy()) for record in records]


def records(*paths: Path) -> list[bytes]:
    """Reads the records of files, compressed or not."""
    return [
        record.numpy()
        for path in paths
        for record in tf.data.TFRecordDataset(
            str(path), "GZIP" if path.suffix == ".gz" else ""
        )
    ]


def values(example: tf.train.Example, name: str) -> list:
    feature = example.features.feature[name]
    return list(feature.int64_list.value or feature.float_list.value)


def digest(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def test_output_names():
    assert [str(p) for p in output_names("x/a,b@2")] == [
        "x/a",
        "b-00000-of-00002",
        "b-00001-of-00002",
    ]


# Default policy


def test_every_record(corpus, tokenizer):
    out = corpus / "out.tfrecord"
    files = str(corpus / "*.txt")
    counts = create_pretraining_data(files, out, tokenizer, SMALL, progress=False)
    made = examples(out)
    assert len(made) == counts["records"] == counts["pieces"] > 100
    assert counts["documents"] == 40 and not counts["unknown_tokens"]
    masked = sum(sum(values(example, "masked_lm_weights")) for example in made)
    assert masked == counts["predictions"]
    assert masked == sum(counts[kind] for kind in ("masked", "kept", "replaced"))
    assert counts["record_tokens"] == sum(sum(values(e, "input_mask")) for e in made)
    labels = sum(values(example, "next_sentence_labels")[0] for example in made)
    assert labels == counts["random_or_swapped"]
    for example in made:
        ids, mask = values(example, "input_ids"), values(example, "input_mask")
        types, length = values(example, "segment_ids"), sum(mask)
        assert len(ids) == len(mask) == len(types) == 37
        assert mask == [1] * length + [0] * (37 - length)
        assert ids[0] == tokenizer.cls_token_id
        assert ids.count(tokenizer.sep_token_id) == 2
        assert not any(ids[length:]) and not any(types[length:])
        weights = values(example, "masked_lm_weights")
        places = values(example, "masked_lm_positions")
        labels = values(example, "masked_lm_ids")
        assert len(weights) == len(places) == len(labels) == 7
        assert sum(weights) == min(7, max(1, round(length * 0.15)))
        padding = int(sum(weights))
        assert not any(places[padding:]) and not any(labels[padding:])
        assert values(example, "next_sentence_labels") in ([0], [1])


def make(corpus, tokenizer, folder: str, names: str = "r@3", **options) -> Path:
    """Makes records of both files in small blocks."""
    out = corpus / folder
    options = {"block_bytes": 1000, "progress": False, "settings": SMALL} | options
    source = TextFiles(corpus / "*.txt", options.pop("block_bytes"))
    create_pretraining_data(source, out / names, tokenizer, **options)
    return out


def test_bytes_do_not_depend_on_workers(corpus, tokenizer):
    one, two = (
        digest(make(corpus, tokenizer, f"o{workers}", workers=workers))
        for workers in (1, 2)
    )
    assert one == two and len(one) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"objective": "sop", "masking": "word"},
        {"objective": "none", "naming": "model_garden"},
        {"pieces_per_row": 4},
        {"form": "compact", "pieces_per_row": 3},
    ],
)
def test_instances_do_not_depend_on_files(corpus, tokenizer, changes):
    settings = replace(SMALL, **changes)
    for names in ("r", "r@7", "r@2.gz"):
        make(corpus, tokenizer, names, names, settings=settings)
    one = sorted(records(corpus / "r" / "r"))
    assert one == sorted(records(*(corpus / "r@7").iterdir()))
    assert one == sorted(records(*(corpus / "r@2.gz").iterdir()))
    sizes = [len(records(file)) for file in (corpus / "r@7").iterdir()]
    assert 3 * min(sizes) > max(sizes)


def test_instances_on_beam(corpus, tokenizer, capsys):
    """Two processes of Beam's DirectRunner make what one process makes."""
    make(corpus, tokenizer, "o", "r@2", block_bytes=4 << 20)
    flags = [f"--{n}={getattr(SMALL, n)}" for n in ("max_seq_length", "dupe_factor")]
    command = [
        *("data", "--max_predictions_per_seq=7", *flags, "--runner=DirectRunner"),
        f"--vocab_file={tokenizer.save_vocabulary(corpus / 'vocab')}",
        f"--input_file={corpus / '*.txt'}",
        f"--output_file={corpus / 'beam' / 'r@3'}",
        "--beam_options=--direct_running_mode=multi_processing --direct_num_workers=2",
    ]
    assert main(command) == 0
    shards = sorted((corpus / "beam").iterdir())
    assert [shard.name[1:] for shard in shards] == [
        f"-0000{i}-of-00003" for i in range(3)
    ]
    one = sorted(records(*(corpus / "o").iterdir()))
    assert one == sorted(records(*shards))
    said = capsys.readouterr().out
    assert f"Wrote {len(one)} records" in said and "From 40 documents" in said
    assert main(command) == 2
    assert "exists already" in capsys.readouterr().err


def test_text_wherever_beam_can_read(corpus, tokenizer):
    from apache_beam.io.localfilesystem import LocalFileSystem

    class Elsewhere(LocalFileSystem):
        """Local files by addresses, `elsewhere:///folder/file`."""

        @classmethod
        def scheme(cls):
            return "elsewhere"

        def match(self, patterns, limits=None):
            found = super().match([p.removeprefix("elsewhere://") for p in patterns])
            for each in found[0].metadata_list:
                each.path = "elsewhere://" + each.path
            return found

        def open(self, path, *more, **named):
            return super().open(path.removeprefix("elsewhere://"), *more, **named)

    here = TextFiles(corpus / "*.txt", 1000)
    there = TextFiles(f"elsewhere://{corpus}/*.txt", 1000)
    assert there.size == here.size
    assert there.files == [f"elsewhere://{name}" for name in here.files]
    create_pretraining_data(here, corpus / "h", tokenizer, SMALL, progress=False)
    create_pretraining_data(there, corpus / "t", tokenizer, SMALL, progress=False)
    assert (corpus / "h").read_bytes() == (corpus / "t").read_bytes()
    with pytest.raises(MissingFileError, match="absent"):
        TextFiles(f"elsewhere://{corpus}/absent*")


def test_draws_do_not_depend_on_other_documents(corpus, tokenizer):
    """A document's own pairs are the same in another corpus and order."""
    settings = replace(SMALL, objective="sop", short_seq_prob=0.5)
    make(corpus, tokenizer, "all", settings=settings, block_bytes=1000)
    (corpus / "b.txt").rename(corpus / "0.txt")
    make(corpus, tokenizer, "turned", settings=settings, block_bytes=777)
    one, other = (
        sorted(records(*(corpus / name).iterdir())) for name in ("all", "turned")
    )
    assert one == other


def test_chinese_words_are_masked_whole(tmp_path):
    pytest.importorskip("jieba", reason="the extra chinese is not installed")
    words = ["北京", "大学", "学生", "喜欢", "音乐", "我"]
    rng = np.random.default_rng(3)
    lines = ["".join(rng.choice(words, 12)) for _ in range(60)]
    text = "\n".join(line + "\n" * (i % 5 == 4) for i, line in enumerate(lines))
    (tmp_path / "zh.txt").write_text(text, "utf-8")
    tokenizer = BertTokenizer([*SPECIAL, *sorted(set("".join(words)))])
    settings = replace(SMALL, masking="word", words="jieba")
    out = tmp_path / "o"
    create_pretraining_data(
        tmp_path / "zh.txt", out, tokenizer, settings, progress=False
    )
    pairs = 0
    for example in examples(out):
        ids = dict(
            zip(
                values(example, "masked_lm_positions"),
                tokenizer.convert_ids_to_tokens(values(example, "masked_lm_ids")),
                strict=True,
            )
        )
        for place, token in ids.items():
            if token == "北":  # begins one word and ends none
                pairs += 1
                row = tokenizer.convert_ids_to_tokens(values(example, "input_ids"))
                assert ids.get(place + 1) == "京" or row[place + 1] == "[SEP]"
    assert pairs > 20


# Runs that were killed


class Killed(BaseException):
    """Stands for what no code catches."""


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_runs_go_on_where_they_were(corpus, tokenizer, workers, monkeypatch):
    steps = count_steps(monkeypatch)
    whole = digest(make(corpus, tokenizer, "whole"))
    blocks = steps.total // 3  # each is told once of its tokens and twice of records
    assert blocks > 5
    finished = set()
    for stop in (1, blocks // 2, blocks + 1, blocks // 2, blocks // 2):
        steps.stop_at(stop)
        # Processes may be ahead of what they told, and then done before it.
        with pytest.raises(Killed) if workers == 1 else suppress(Killed):
            make(corpus, tokenizer, "killed", workers=workers, overwrite=False)
            break
        shards = set((corpus / "killed").glob("r-*"))
        assert finished <= shards
        finished = shards
    steps.stop_at(None)
    if (corpus / "killed" / ".r-00000-of-00003.work").exists():
        make(corpus, tokenizer, "killed", workers=workers)
        # What was done was not done again.
        assert steps.total <= 2 * blocks
    assert digest(corpus / "killed") == whole


def test_a_run_that_goes_on_does_not_read_again(corpus, tokenizer, monkeypatch):
    steps = count_steps(monkeypatch)
    steps.stop_at(16)
    with pytest.raises(Killed):
        make(corpus, tokenizer, "killed")
    steps.stop_at(None)
    monkeypatch.setattr(TextFiles, "blocks", None)
    make(corpus, tokenizer, "killed")
    assert len(digest(corpus / "killed")) == 3


def test_another_run_begins_anew(corpus, tokenizer, monkeypatch):
    steps = count_steps(monkeypatch)
    steps.stop_at(18)
    with pytest.raises(Killed):
        make(corpus, tokenizer, "killed")
    steps.stop_at(None)
    other = replace(SMALL, random_seed=3)
    with pytest.raises(ExistingOutputError, match="exists already"):
        make(corpus, tokenizer, "killed", settings=other)
    make(corpus, tokenizer, "killed", settings=other, overwrite=True)
    assert digest(corpus / "killed") == digest(
        make(corpus, tokenizer, "whole", settings=other)
    )
    with pytest.raises(ExistingOutputError, match="exists already"):
        make(corpus, tokenizer, "killed", settings=other)


class Steps:
    """Counts what a run tells, and stops it."""

    def __init__(self) -> None:
        self.total, self._stop = 0, None

    def stop_at(self, step: int | None) -> None:
        self.total, self._stop = 0, step

    def __call__(self, told):
        for each in told:
            self.total += 1
            if self.total == self._stop:
                raise Killed
            yield each


def count_steps(monkeypatch) -> Steps:
    steps, run_tasks = Steps(), pipeline.run_tasks
    monkeypatch.setattr(pipeline, "run_tasks", lambda *given: steps(run_tasks(*given)))
    return steps


@pytest.mark.slow
def test_kill_minus_9(corpus, tokenizer):
    """A process is killed again and again, wherever it happens to be."""
    vocab = tokenizer.save_vocabulary(corpus / "vocab.txt")
    settings = {f"--{n}": getattr(SMALL, n) for n in ("max_seq_length", "dupe_factor")}
    command = [
        *(sys.executable, "-m", "keras_bert", "data", f"--vocab_file={vocab}"),
        *(f"--input_file={corpus / '*.txt'}", "--max_predictions_per_seq=7"),
        *(f"{name}={value}" for name, value in settings.items()),
    ]
    for name in ("a.txt", "b.txt"):  # long enough to be killed in
        text = (corpus / name).read_text()
        (corpus / name).write_text("\n\n".join([text] * 60))

    def start(folder: str, *more: str) -> subprocess.Popen:
        return subprocess.Popen([*command, f"--output_file={corpus / folder / 'r@5'}"])

    assert start("whole").wait() == 0
    killed, finished = 0, set()
    while not finished or (corpus / "killed" / ".r-00000-of-00005.work").exists():
        process = start("killed")
        time.sleep(0.4 + 0.1 * killed)
        process.kill()
        process.wait()
        killed += 1
        shards = set((corpus / "killed").glob("r-*"))
        assert finished <= shards
        finished = shards
    assert killed > 2
    assert digest(corpus / "killed") == digest(corpus / "whole")


def test_faulty_text_is_counted(tmp_path, tokenizer, capsys):
    text = b"ba\xff\xfe be\nbi\n\n\x00\n\nbo bu\xc3\n\n" + b"ba " * 500_000 + b"\nbe\n"
    (tmp_path / "x.txt").write_bytes(text)
    vocab = tokenizer.save_vocabulary(tmp_path / "vocab.txt")
    arguments = [f"--input_file={tmp_path / 'x.txt'}", f"--vocab_file={vocab}"]
    output = f"--output_file={tmp_path / 'o'}"
    assert main(["data", *arguments, output, "--dupe_factor=1"]) == 0
    said = capsys.readouterr().out
    assert "3 sequences that are not UTF-8" in said
    assert "1 NUL bytes" in said and "1 lines of more than 1,048,576" in said
    assert "From 3 documents, 6 sentences, 500,006 tokens" in said


def test_seed_decides_the_bytes(corpus, tokenizer):
    def made(seed: int) -> bytes:
        settings = DataSettings(max_seq_length=37, dupe_factor=1, random_seed=seed)
        out = corpus / "out.tfrecord"
        create_pretraining_data(
            corpus / "a.txt", out, tokenizer, settings, overwrite=True, progress=False
        )
        return out.read_bytes()

    assert made(1) == made(1) != made(2)


def test_passes_differ_and_shards_hold_all(corpus, tokenizer):
    create_pretraining_data(
        corpus / "a.txt", corpus / "one", tokenizer, SMALL, progress=False
    )
    create_pretraining_data(
        corpus / "a.txt", corpus / "part@3", tokenizer, SMALL, progress=False
    )
    one = [example.SerializeToString() for example in examples(corpus / "one")]
    parts = examples(*sorted(corpus.glob("part-*")))
    assert sorted(one) == sorted(example.SerializeToString() for example in parts)
    assert len(set(one)) > 0.95 * len(one)


# Google's policy


@pytest.mark.parametrize("case", ["sample_default", "alice_wwm", "moby_cased"])
def test_google_policy_gives_googles_records(case, tmp_path):
    folder = shared("goldens", "google_pretraining_data", case)
    about = json.loads((folder / "case.json").read_text())
    names = about["outputs"]
    status = main(
        [
            "data",
            "--policy=google",
            f"--input_file={folder / 'input.txt'}",
            f"--output_file={','.join(str(tmp_path / name) for name in names)}",
            f"--vocab_file={shared('data', 'vocab', about['vocab'])}",
            f"--do_lower_case={about['do_lower_case']}",
            *about["flags"].split(),
        ]
    )
    assert status == 0
    for name in names:
        expected, got = examples(folder / name), examples(tmp_path / name)
        assert len(got) == len(expected) > 50
        assert got == expected


def test_google_policy_limits_its_input(corpus, tokenizer):
    with pytest.raises(InputError, match="holds the corpus in memory"):
        create_pretraining_data(
            corpus / "a.txt", corpus / "o", tokenizer, policy="google", limit_mb=0.001
        )
    assert not (corpus / "o").exists()


# Settings and the command line


@pytest.mark.parametrize(
    "wrong",
    [{"max_seq_length": 4}, {"masked_lm_prob": 1.5}, {"dupe_factor": 0}],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DataSettings(**wrong)


def test_unknown_policy(corpus, tokenizer):
    with pytest.raises(UnknownNameError, match="default, google"):
        create_pretraining_data(corpus / "a.txt", corpus / "o", tokenizer, policy="x")


def command(folder: Path, *flags: str) -> list[str]:
    vocab = folder / "vocab.txt"
    if not vocab.exists():
        vocab.write_text("\n".join(VOCAB))
    outputs = f"--output_file={folder / 'o' / 'a'},{folder / 'o' / 'b'}"
    return ["data", f"--vocab_file={vocab}", outputs, "--dupe_factor=1", *flags]


def test_command_reads_lists_patterns_and_gzip(corpus, capsys):
    with gzip.open(corpus / "c.txt.gz", "wt") as file:
        file.write((corpus / "a.txt").read_text())
    files = f"--input_file={corpus / 'a.t*'},{corpus / 'c.txt.gz'}"
    assert main(command(corpus, files, "--nodo_lower_case")) == 0
    assert "records to" in capsys.readouterr().out
    counts = [len(examples(corpus / "o" / name)) for name in "ab"]
    assert counts[0] - counts[1] in (0, 1)
    assert main(command(corpus, files)) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(command(corpus, files, "--overwrite", "--do_whole_word_mask")) == 0


def one_document(folder: Path) -> None:
    (folder / "x.txt").write_text("ba\nbe\nbi\n")


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: None, "found none"),
        (lambda folder: (folder / "x.txt").write_text(""), "none that makes a record"),
        (lambda folder: (folder / "x.txt").write_text("\n \n\n"), "none that makes"),
        (one_document, "at least two documents"),
        (
            lambda folder: (folder / "vocab.txt").write_text(
                "\n".join(t for t in VOCAB if t != "[MASK]")
            ),
            "[MASK]",
        ),
        (lambda folder: (folder / "vocab.txt").write_text(""), "empty"),
    ],
)
def test_what_cannot_be_used_gives_one_line_and_no_files(
    tmp_path, capsys, prepare, message
):
    if "MASK" in message or message == "empty":
        one_document(tmp_path)
    prepare(tmp_path)
    assert main(command(tmp_path, f"--input_file={tmp_path / 'x.txt'}")) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("Error:") and message in error
    assert not list(tmp_path.glob("o/*"))


def test_vocab_command(corpus, capsys):
    output = corpus / "vocabulary" / "vocab.txt"
    arguments = ["vocab", str(corpus / "*.txt"), "--vocab-size", "90"]
    assert main([*arguments, "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert "90 tokens" in said and "0.0000% unknown" in said
    first = output.read_bytes()
    assert main([*arguments, "--output", str(output)]) == 2
    assert main([*arguments, "--output", str(corpus / "folder")]) == 0
    assert (corpus / "folder" / "vocab.txt").read_bytes() == first
    assert BertTokenizer.from_pretrained(corpus / "folder").vocab_size == 90
