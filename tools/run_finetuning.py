"""The same as `keras-bert finetune`."""

import sys

from keras_bert.cli import main

if __name__ == "__main__":
    sys.exit(main(["finetune", *sys.argv[1:]]))
