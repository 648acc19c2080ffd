"""The one table of model inputs: name, axes, pad value, names in records.

Everything that needs an input's name, shape or default reads it here: the
models' `Input`s, the completion of omitted inputs, the TFRecord writer and
parser, and the serving signatures.
"""

from typing import NamedTuple


class Feature(NamedTuple):
    """One integer input of a model.

    Attributes:
        name: the key in the model's input dict.
        axes: axis names, see `keras_bert.axes`.
        pad: the value that fills padding.
        google: name in records in the form of Google's 2018 scripts.
        model_garden: name in records written with `--use-v2-feature-names`.
        keras_hub: name in KerasHub's models.
    """

    name: str
    axes: str
    pad: int = 0
    google: str | None = None
    model_garden: str | None = None
    keras_hub: str | None = None


INPUTS = {
    feature.name: feature
    for feature in (
        # `pad` of input_ids is the config's pad_token_id; 0 in every release.
        Feature(
            "input_ids", "batch seq", 0, "input_ids", "input_word_ids", "token_ids"
        ),
        Feature(
            "attention_mask", "batch seq", 0, "input_mask", "input_mask", "padding_mask"
        ),
        Feature(
            "token_type_ids",
            "batch seq",
            0,
            "segment_ids",
            "input_type_ids",
            "segment_ids",
        ),
        Feature("position_ids", "batch seq", 0, None, "position_ids"),
        Feature(
            "masked_lm_positions",
            "batch predictions",
            0,
            "masked_lm_positions",
            "masked_lm_positions",
            "mask_positions",
        ),
        Feature("cls_positions", "batch pieces"),
    )
}

# What other libraries call the inputs.
ALIASES = {
    alias: feature.name
    for feature in INPUTS.values()
    for alias in (feature.google, feature.model_garden, feature.keras_hub)
    if alias
}

ENCODER_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
SERVED_INPUTS = ("input_ids", "attention_mask", "token_type_ids")

# Added to a float32 score, or put in its place, where the attention mask is 0: far
# below any real score, so that its exponential is 0, and finite, so that sums are too.
MASK_VALUE = -1e9
# So low that nothing added to it counts: where all are hidden, all are equal.
LOWEST = -1e38


class RecordField(NamedTuple):
    """One field of a pretraining record.

    Attributes:
        name: what it is called here; the model's input, where it is one.
        axis: "seq", "predictions" or "pieces" (1 unless rows are packed).
        dtype: "int64" or "float32", as stored.
        packed: only records of packed rows have it.
        label: only records that say how two texts belong together have it.
    """

    name: str
    axis: str
    dtype: str = "int64"
    packed: bool = False
    label: bool = False

    def key(self, naming: str) -> str:
        """Returns the TFRecord key, in the "google" or "model_garden" naming.

        Example:
            >>> PRETRAINING_RECORD[0].key("model_garden")
            'input_word_ids'
        """
        return getattr(INPUTS.get(self.name), naming, None) or self.name


NAMINGS = ("google", "model_garden")
PRETRAINING_RECORD = (
    RecordField("input_ids", "seq"),
    RecordField("attention_mask", "seq"),
    RecordField("token_type_ids", "seq"),
    RecordField("position_ids", "seq", packed=True),
    RecordField("cls_positions", "pieces", packed=True),
    RecordField("masked_lm_positions", "predictions"),
    RecordField("masked_lm_ids", "predictions"),
    RecordField("masked_lm_weights", "predictions", "float32"),
    RecordField("next_sentence_labels", "pieces", label=True),
    RecordField("next_sentence_weights", "pieces", "float32", packed=True, label=True),
)


def record_fields(packed: bool = False, labeled: bool = True) -> list[RecordField]:
    """Lists the fields of static pretraining records.

    Args:
        packed: rows hold several texts or pairs.
        labeled: records say how two texts belong together.

    Example:
        >>> [field.name for field in record_fields(labeled=False)][-1]
        'masked_lm_weights'
    """
    return [
        field
        for field in PRETRAINING_RECORD
        if packed >= field.packed and labeled >= field.label
    ]
