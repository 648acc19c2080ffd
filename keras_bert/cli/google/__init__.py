"""The scripts of google-research/bert by their own flags, on this package.

`tools/run_classifier.py` and the others call `main`. A script is a module with `FLAGS`,
`REQUIRED` and `run(args)`; it reads and writes the files of the original.
"""

import importlib
import sys
from collections.abc import Sequence

from keras_bert.cli import execute
from keras_bert.cli.google.flags import parser_of

# What each does, for its help; its module has the name without `run_`.
SCRIPTS = {
    "run_classifier": "fine-tune, evaluate and apply a classifier",
    "run_squad": "fine-tune a model on SQuAD, and answer questions",
    "extract_features": "write hidden states of text",
    "run_pretraining": "pretrain a model on records",
}


def main(script: str, argv: Sequence[str] | None = None) -> int:
    """Runs a script.

    Args:
        script: a name of `SCRIPTS`.
        argv: its arguments; None: those of the process.

    Returns:
        The exit status: 0, or 2 after an error, which is printed as one line.

    Example:
        >>> main("run_squad", ["--do_predict=true"])  # doctest: +SKIP
        0
    """
    name = script.removeprefix("run_")
    module = importlib.import_module(f"{__name__}.{name}")
    parser = parser_of(f"{script}.py", SCRIPTS[script], module.FLAGS, module.REQUIRED)
    parser.set_defaults(run=module.run)
    arguments = sys.argv[1:] if argv is None else argv
    return execute(parser.parse_args(arguments), on_tensorflow=True)
