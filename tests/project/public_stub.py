"""Writes the stub of public names: `python -m tests.project.public_stub`."""

from keras_bert.families import FAMILIES
from keras_bert.models.heads import HEADS
from tests.paths import ROOT

PATH = ROOT / "keras_bert" / "__init__.pyi"
HEADER = '''\
"""The public names as type checkers and editors see them; `__init__.py` loads them.

Written by `python -m tests.project.public_stub`.
"""

'''
IMPORTS = [
    ("keras_bert.errors", "KerasBertError"),
    ("keras_bert.models", "heads"),
    ("keras_bert.models.sentence_encoder", "SentenceEncoder"),
    ("keras_bert.sentence_recipe", "SentenceRecipe"),
    ("keras_bert.tokenization.layer", "BertTokenizerLayer"),
    ("keras_bert.tokenization.tokenizer", "BertTokenizer"),
    ("keras_bert.version", "__version__"),
]


def text() -> str:
    """Returns the stub that the families make."""
    configs = [family.config for family in FAMILIES.values()]
    imports = [*IMPORTS, *((c.__module__, c.__name__) for c in configs)]
    modules = sorted({module for module, _ in imports})
    named = {m: sorted(n for module, n in imports if module == m) for m in modules}
    lines = [f"from {m} import {', '.join(names)}" for m, names in named.items()]
    heads = {n: HEADS[k] for f in FAMILIES.values() for n, k in f.models.items()}
    classes = [
        f"class {name}(heads.{heads[name].__name__}): ..." for name in sorted(heads)
    ]
    public = sorted({name for _, name in imports} - {"heads"} | heads.keys())
    listed = [f'    "{name}",' for name in public]
    return HEADER + "\n".join(
        [*lines, "", *classes, "", "__all__ = [", *listed, "]", ""]
    )


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
