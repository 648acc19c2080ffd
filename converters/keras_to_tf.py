"""Converts a Keras directory to a TensorFlow checkpoint.

`python converters/keras_to_tf.py CKPT` writes `CKPT/tf/` unless `--output` says
otherwise; `--help` lists the options.
"""

from keras_bert.cli.convert import converter

main = converter("keras", "tf")

if __name__ == "__main__":
    raise SystemExit(main())
