"""Google's `extract_features.py`, by its own flags, on this package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from keras_bert.cli.google import main

if __name__ == "__main__":
    sys.exit(main("extract_features"))
