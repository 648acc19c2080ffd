"""Writes a checkpoint as a SavedModel for TF Serving.

`python tools/export_saved_model.py --model CKPT --output saved_models/NAME`;
`--help` lists the options. The same as `keras-bert export`.
"""

import sys

from keras_bert.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["export", *sys.argv[1:]]))
