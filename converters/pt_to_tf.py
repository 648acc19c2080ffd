"""Converts PyTorch weights to a TensorFlow checkpoint.

`python converters/pt_to_tf.py CKPT` writes `CKPT/tf/` unless `--output` says
otherwise; `--help` lists the options.
"""

from keras_bert.cli.convert import converter

main = converter("pt", "tf")

if __name__ == "__main__":
    raise SystemExit(main())
