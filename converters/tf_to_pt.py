"""Converts a TensorFlow checkpoint to PyTorch weights (Hugging Face).

`python converters/tf_to_pt.py CKPT` writes `CKPT/pytorch/` unless `--output` says
otherwise; `--help` lists the options.
"""

from keras_bert.cli.convert import converter

main = converter("tf", "pt")

if __name__ == "__main__":
    raise SystemExit(main())
