"""`python -m keras_bert <command>`: the command line without installation."""

import sys

from keras_bert.cli import main

if __name__ == "__main__":
    sys.exit(main())
