"""Converts PyTorch weights to a Keras directory.

`python converters/pt_to_keras.py CKPT` writes `CKPT/keras/` unless `--output` says
otherwise; `--help` lists the options.
"""

from keras_bert.cli.convert import converter

main = converter("pt", "keras")

if __name__ == "__main__":
    raise SystemExit(main())
