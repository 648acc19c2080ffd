"""The same as `keras-bert pretrain`."""

import sys

from keras_bert.cli import main

if __name__ == "__main__":
    sys.exit(main(["pretrain", *sys.argv[1:]]))
