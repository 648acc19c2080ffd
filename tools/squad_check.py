"""Runs the functions of Google's run_squad.py beside this package's, on SQuAD files.

    python tools/squad_check.py ~/src/bert vocab.txt dev-v1.1.json [--cased]
        [--version-2] [--max-length N] [--doc-stride N]

Rows must be equal, and so must the files of predictions, byte for byte, for logits from
a seed. Google's code is from 2019 and imports TensorFlow 1; of that its pure Python
functions need flags, files and messages, which are substituted.
"""

import argparse
import json
import sys
import tempfile
import types
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

FILES = ("predictions.json", "nbest_predictions.json", "null_odds.json")


def google_modules(code: str, **flags: Any) -> tuple[Any, Any]:
    """Imports `run_squad` and `tokenization`, with these flags."""
    tensorflow = mock.MagicMock()
    tensorflow.gfile = types.SimpleNamespace(Open=open, GFile=open)
    tensorflow.flags.FLAGS = types.SimpleNamespace(verbose_logging=False, **flags)
    six = types.SimpleNamespace(PY3=True, PY2=False, iteritems=lambda d: d.items())
    substitutes = {"tensorflow": tensorflow, "six": six}
    substitutes |= dict.fromkeys(("modeling", "optimization"), mock.MagicMock())
    with mock.patch.dict(sys.modules, substitutes), mock.patch("sys.path", [code]):
        import run_squad
        import tokenization
    return run_squad, tokenization


def google_rows(google: Any, tokenizer: Any, path: Path, args: Any, labeled: bool):
    """Returns the examples and the features of Google's code."""
    rows: list[Any] = []
    examples = google.read_squad_examples(str(path), labeled)
    google.convert_examples_to_features(
        examples, tokenizer, args.max_length, args.doc_stride, 64, labeled, rows.append
    )
    return examples, rows


def arrays(rows: list[Any]) -> dict[str, np.ndarray]:
    """Returns Google's features as `Windows` has them."""
    most = np.zeros((len(rows), len(rows[0].input_ids)), bool)
    for i, row in enumerate(rows):
        most[i, [c for c, best in row.token_is_max_context.items() if best]] = True
    names = ("input_ids", "input_mask", "segment_ids", "start_position", "end_position")
    found = {name: np.array([getattr(row, name) for row in rows]) for name in names}
    return {**found, "is_max_context": most}


def own_arrays(windows: Any) -> dict[str, np.ndarray]:
    """Returns the rows of this package under Google's names."""
    names = ("input_ids", "input_mask", "segment_ids")
    found = dict(zip(names, windows.features.values(), strict=True))
    labels = dict(start_position="start_logits", end_position="end_logits")
    if windows.labels is not None:
        found |= {name: windows.labels[key] for name, key in labels.items()}
    return {**found, "is_max_context": windows.is_max_context}


def report(what: str, equal: bool) -> None:
    """Prints a line of the result."""
    print(f"{what}: {'equal' if equal else 'DIFFERENT'}")


class Peers:
    """Google's functions and this package's, with one vocabulary.

    Args:
        args: of the command.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        from keras_bert import BertTokenizer

        flags = {"version_2_with_negative": args.version_2}
        found = google_modules(args.code, null_score_diff_threshold=0.0, **flags)
        self.args, self.lower = args, not args.cased
        self.google, words = found
        self.theirs = words.FullTokenizer(args.vocab, do_lower_case=self.lower)
        rules = {"do_lower_case": self.lower, "google_rules": True}
        self.ours = BertTokenizer(args.vocab, **rules)

    def compare_rows(self, path: Path, labeled: bool) -> tuple[Any, list[Any], Any]:
        """Returns Google's examples and features, and our windows, once compared."""
        from keras_bert.tasks.question_windows import encode_questions
        from keras_bert.tasks.questions import read_squad

        args = self.args
        examples, rows = google_rows(self.google, self.theirs, path, args, labeled)
        questions = read_squad(path, labeled=labeled, with_impossible=args.version_2)
        lengths = dict(max_length=args.max_length, doc_stride=args.doc_stride)
        windows = encode_questions(questions, self.ours, labeled=labeled, **lengths)
        expected, found = arrays(rows), own_arrays(windows)
        equal = all((expected[key] == value).all() for key, value in found.items())
        report(f"{len(examples)} questions, {len(rows)} rows", equal)
        return examples, rows, windows

    def compare_answers(
        self, folder: Path, examples: Any, rows: list[Any], windows: Any
    ) -> None:
        """Compares the files of predictions."""
        from keras_bert.tasks.question_answering import find_answers

        most = windows.is_max_context
        values = np.random.default_rng(7).standard_normal((2, *most.shape))
        logits = (values * 3 + 3 * most).astype("float32")
        results = [
            self.google.RawResult(row.unique_id, start.tolist(), end.tolist())
            for row, start, end in zip(rows, *logits.astype("float64"), strict=True)
        ]
        outputs = [str(folder / file) for file in FILES]
        options = (20, 30, self.lower)
        self.google.write_predictions(examples, rows, results, *options, *outputs)
        impossible = {"may_be_impossible": self.args.version_2}
        answers = find_answers(windows, *logits, self.ours, **impossible)
        for path in answers.save(folder / "own"):
            report(path.name, path.read_bytes() == (folder / path.name).read_bytes())


def with_one_answer(content: dict) -> dict:
    """Returns the questions with at most one answer, as training needs it."""
    for article in content["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                qa["answers"] = qa["answers"][:1]
                qa["is_impossible"] = not qa["answers"]
    return content


def main() -> None:
    """Compares rows with labels, rows without, and answers."""
    parser = argparse.ArgumentParser()
    for name in ("code", "vocab", "file"):
        parser.add_argument(name)
    for name in ("--cased", "--version-2"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("--max-length", type=int, default=384)
    parser.add_argument("--doc-stride", type=int, default=128)
    args = parser.parse_args()
    peers, path = Peers(args), Path(args.file)
    with tempfile.TemporaryDirectory() as name:
        training = Path(name) / "train.json"
        content = with_one_answer(json.loads(path.read_text(encoding="utf-8")))
        training.write_text(json.dumps(content))
        peers.compare_rows(training, labeled=True)
        found = peers.compare_rows(path, labeled=False)
        peers.compare_answers(Path(name), *found)


if __name__ == "__main__":
    main()
