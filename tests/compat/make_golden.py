"""Writes `golden_tokenizer_calls.json`: run it where transformers 4.57 is installed.

`python -m tests.compat.make_golden`
"""

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.compat.tokenizer_calls import VOCAB, answer, calls

PATH = Path(__file__).with_name("golden_tokenizer_calls.json")


def answers(tokenizer: Any) -> dict[str, Any]:
    return {c.name: answer(tokenizer, copy.deepcopy(c)) for c in calls()}


def main() -> None:
    import transformers

    assert transformers.__version__.startswith("4.57"), transformers.__version__
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "vocab.txt")
        file.write_text("".join(f"{token}\n" for token in VOCAB), "utf-8")
        tokenizer = transformers.BertTokenizerFast(str(file), model_max_length=32)
        found = answers(tokenizer)
    rows = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found.items()]
    PATH.write_text("{\n" + ",\n".join(rows) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
