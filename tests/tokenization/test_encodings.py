"""Text that is not UTF-8: recognised, named, and refused before it becomes tokens."""

import os
import subprocess
import sys

import pytest

from keras_bert.cli import main
from keras_bert.errors import InputError
from keras_bert.tokenization.encodings import SAMPLE, check_utf8, likely_encoding
from keras_bert.tokenization.files import read_lines

TEXTS = {
    "gb18030": "我们在中国的大学里学习，他们也是。",
    "big5": "我們在中國的大學裡學習，他們也是。",
    "shift_jis": "私は学生です。日本の大学で勉強しています。",
    "euc_jp": "私は学生です。日本の大学で勉強しています。",
    "euc_kr": "나는 학생이다. 대학에서 공부하고 있는 사람이다.",
    "cp1252": "Le café où naît la forêt. Où est la clé? Élève à la fenêtre.",
    "utf-16": "我们在中国的大学里学习",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_encodings_are_recognised(encoding):
    raw = TEXTS[encoding].encode(encoding)
    assert likely_encoding(raw) == encoding
    with pytest.raises(
        InputError, match=rf"a\.txt.*iconv -f {encoding.upper()} -t UTF"
    ):
        check_utf8(raw * 20, "a.txt")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_text_without_a_mark(encoding):
    raw = ("Plain text without a mark. " * 9).encode(encoding)
    with pytest.raises(InputError, match=encoding.upper()):
        check_utf8(raw, "a.txt")


def test_a_little_damage_is_no_other_encoding():
    check_utf8("中文\ufffd\ufffd".encode() * 99, "a.txt")
    check_utf8(b"a\xff" * 8, "a.txt")
    check_utf8(("中" * SAMPLE).encode()[:SAMPLE], "a.txt")
    check_utf8(b"", "a.txt")


@pytest.mark.parametrize("command", ["vocab", "data", "google"])
@pytest.mark.parametrize("encoding", ["gb18030", "big5", "utf-16"])
def test_commands_refuse_other_encodings(tmp_path, capsys, command, encoding):
    text, vocab, out = (tmp_path / name for name in ("zh.txt", "vocab.txt", "out"))
    text.write_bytes("\n".join([TEXTS[encoding]] * 40).encode(encoding))
    vocab.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    arguments = ["vocab", text, "--output", out]
    if command != "vocab":
        policy = "google" if command == "google" else "default"
        arguments = ["data", "--input-file", text, "--output-file", out]
        arguments += ["--vocab-file", vocab, "--policy", policy]
    assert main([str(each) for each in arguments]) not in (0, None)
    error = capsys.readouterr().err
    assert f"iconv -f {encoding.upper()}" in error and "zh.txt" in error
    assert not out.exists()


def test_lines_of_a_file_with_a_little_damage(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a\xff\nb\n")
    assert list(read_lines(tmp_path / "a.txt")) == ["a\ufffd\n", "b\n"]


@pytest.mark.parametrize("encoding", ["gbk", "ascii", "cp1252"])
def test_output_in_other_encodings_never_raises(encoding):
    code = "from keras_bert.cli import main; main(['--help']); print('é→汉😀')"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert run.returncode == 0, run.stderr
    assert rb"\U0001f600" in run.stdout
