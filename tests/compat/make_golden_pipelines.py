"""Writes `golden_pipelines.json`: run it where transformers 4.57 and torch are.

`python -m tests.compat.make_golden_pipelines`
"""

import json
import tempfile
from pathlib import Path

from tests.compat.pipeline_calls import LONGEST, MODELS, SIZES, answer, calls, fill
from tests.compat.tokenizer_calls import VOCAB

PATH = Path(__file__).with_name("golden_pipelines.json")


def main() -> None:
    import transformers

    assert transformers.__version__.startswith("4.57"), transformers.__version__
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "vocab.txt")
        file.write_text("".join(f"{token}\n" for token in VOCAB), "utf-8")
        tokenizer = transformers.BertTokenizerFast(str(file), model_max_length=LONGEST)
        models = {}
        for task, (name, labels) in MODELS.items():
            cls = getattr(transformers, f"Bert{name}")
            names = dict(enumerate(labels))
            ids = {label: index for index, label in names.items()}
            config = transformers.BertConfig(**SIZES, id2label=names, label2id=ids)
            cls(config).save_pretrained(folder)
            fill(Path(folder))
            models[task] = cls.from_pretrained(folder)

    def make(task, **options):
        return transformers.pipeline(
            task, model=models[task], tokenizer=tokenizer, **options
        )

    found = {call.name: answer(make, call) for call in calls()}
    rows = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found.items()]
    PATH.write_text("{\n" + ",\n".join(rows) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
