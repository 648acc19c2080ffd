"""What every family has, as the table of docs/families.md.

`python -m tests.families.table` writes it.
"""

from collections.abc import Callable

from keras_bert import families
from keras_bert.checkpoints import formats
from keras_bert.families.family import CLASS_NAMES, Family
from tests.paths import ROOT

DOCUMENT = ROOT / "docs" / "families.md"
BEGIN = "<!-- written by tests/families/table.py -->\n\n"
TITLES = {
    "albert": "ALBERT",
    "bert": "BERT",
    "deberta": "DeBERTa",
    "deberta-v2": "DeBERTa 2, 3",
    "distilbert": "DistilBERT",
    "electra": "ELECTRA",
    "modernbert": "ModernBERT",
    "mpnet": "MPNet",
    "nomic_bert": "NomicBERT",
    "roberta": "RoBERTa",
    "roformer": "RoFormer",
    "xlm-roberta": "XLM-RoBERTa",
}


def _holds(format: str) -> Callable[[Family], str]:
    found = {f.model_type for f in families.with_place_in(format)}
    return lambda family: "yes" if family.model_type in found else "–"


def rows() -> dict[str, Callable[[Family], str]]:
    """Returns what each row says of a family."""
    kinds = {f"`…{form.format('')}`": [] for form in CLASS_NAMES.values()}
    for kind, form in CLASS_NAMES.items():
        kinds[f"`…{form.format('')}`"].append(kind)
    heads = {
        name: lambda f, ks=tuple(ks): "yes" if any(k in f.heads for k in ks) else "–"
        for name, ks in kinds.items()
    }
    places = {f"checkpoints: `{name}`": _holds(name) for name in formats.ALL}
    relative = {
        "`position_embedding_type`: relative kinds": lambda f: (
            "yes" if f.has_relative_positions else "–"
        )
    }
    text = {
        "tokenizer": lambda f: f.tokenizer.replace("_", " "),
        "texts into exported graphs": lambda f: (
            "yes" if f.tokenizer == "wordpiece" else "ids alone"
        ),
    }
    return heads | places | relative | text


def table() -> str:
    """Returns the table as Markdown."""
    known = families.FAMILIES.values()
    lines = [
        "| | " + " | ".join(TITLES[f.model_type] for f in known) + " |",
        "|---|" + "---|" * len(known),
    ]
    for title, says in rows().items():
        lines.append(f"| {title} | " + " | ".join(map(says, known)) + " |")
    return "\n".join(lines) + "\n"


def written(text: str) -> str:
    """Returns the document with the table as it is now."""
    before = text.partition(BEGIN)[0]
    return before + BEGIN + table()


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text("utf-8")), "utf-8")
