"""Converts a Keras directory to PyTorch weights (Hugging Face).

`python converters/keras_to_pt.py CKPT` writes `CKPT/pytorch/` unless `--output` says
otherwise; `--help` lists the options.
"""

from keras_bert.cli.convert import converter

main = converter("keras", "pt")

if __name__ == "__main__":
    raise SystemExit(main())
