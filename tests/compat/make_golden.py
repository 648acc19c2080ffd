"""Writes the golden files: run it where transformers 4.57 is installed.

`python -m tests.compat.make_golden`
"""

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.compat.family_calls import family_calls, named, tokenizers
from tests.compat.tokenizer_calls import VOCAB, answer, calls

PATH = Path(__file__).with_name("golden_tokenizer_calls.json")
FAMILY_PATH = Path(__file__).with_name("golden_family_calls.json")


def answers(tokenizer: Any) -> dict[str, Any]:
    return {c.name: answer(tokenizer, copy.deepcopy(c)) for c in calls()}


def family_answers(found: dict[str, Any]) -> dict[str, Any]:
    asked = ((named(c), found[c[0]], copy.deepcopy(c[1])) for c in family_calls())
    return {name: answer(tokenizer, call) for name, tokenizer, call in asked}


def write(path: Path, found: dict[str, Any]) -> None:
    rows = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found.items()]
    path.write_text("{\n" + ",\n".join(rows) + "\n}\n", "utf-8")


def main() -> None:
    import transformers

    assert transformers.__version__.startswith("4.57"), transformers.__version__
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "vocab.txt")
        file.write_text("".join(f"{token}\n" for token in VOCAB), "utf-8")
        tokenizer = transformers.BertTokenizerFast(str(file), model_max_length=32)
        write(PATH, answers(tokenizer))
        found = tokenizers(transformers, Path(folder))
        write(FAMILY_PATH, family_answers(found))


if __name__ == "__main__":
    main()
