"""Converts a TensorFlow checkpoint to a Keras directory.

`python converters/tf_to_keras.py CKPT` writes `CKPT/keras/` unless `--output` says
otherwise; `--help` lists the options.
"""

from keras_bert.cli.convert import converter

main = converter("tf", "keras")

if __name__ == "__main__":
    raise SystemExit(main())
