"""Tokens that every small vocabulary of the tests begins with."""

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
