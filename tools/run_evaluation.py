"""The same as `keras-bert evaluate`."""

import sys

from keras_bert.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
