"""Lists the annotated answers and entities that do not come back from their tokens.

    python tools/alignment_check.py vocab.txt dev-v1.1.json test.conll [--cased]

Files that end in `.json` are read as SQuAD's, others as files of tagged words.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def misaligned(path: Path, tokenizer: Any) -> list[tuple]:
    """Returns what does not come back: its place, its text, the reason."""
    from keras_bert.tasks.conll_files import read_sentences
    from keras_bert.tasks.entity_alignment import misaligned_entities
    from keras_bert.tasks.question_characters import misaligned_answers
    from keras_bert.tasks.question_files import read_questions

    if path.suffix == ".json":
        return misaligned_answers(read_questions(path), tokenizer)
    return misaligned_entities(list(read_sentences(path)), tokenizer)


def main() -> None:
    from keras_bert import BertTokenizer

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vocab", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--cased", action="store_true")
    args = parser.parse_args()
    tokenizer = BertTokenizer(args.vocab, do_lower_case=not args.cased)
    for path in args.files:
        found = misaligned(path, tokenizer)
        print(f"{path}: {len(found)}")
        for place, text, reason in found:
            print(f"  {place}: {text!r} {reason}")


if __name__ == "__main__":
    main()
