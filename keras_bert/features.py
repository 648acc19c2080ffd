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
        model_garden: name in records written with `--use_v2_feature_names`.
    """

    name: str
    axes: str
    pad: int = 0
    google: str | None = None
    model_garden: str | None = None


INPUTS = {
    feature.name: feature
    for feature in (
        # `pad` of input_ids is the config's pad_token_id; 0 in every release.
        Feature("input_ids", "batch seq", 0, "input_ids", "input_word_ids"),
        Feature("attention_mask", "batch seq", 0, "input_mask", "input_mask"),
        Feature("token_type_ids", "batch seq", 0, "segment_ids", "input_type_ids"),
        Feature("position_ids", "batch seq", 0, None, "position_ids"),
        Feature(
            "masked_lm_positions",
            "batch predictions",
            0,
            "masked_lm_positions",
            "masked_lm_positions",
        ),
        Feature("cls_positions", "batch pieces"),
    )
}

ENCODER_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
SERVED_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class RecordField(NamedTuple):
    """One field of a pretraining record in Google's form.

    Attributes:
        name: the TFRecord key.
        axis: "seq" or "predictions"; None for a single value.
        dtype: "int64" or "float32", as stored.
    """

    name: str
    axis: str | None
    dtype: str = "int64"


PRETRAINING_RECORD = (
    RecordField("input_ids", "seq"),
    RecordField("input_mask", "seq"),
    RecordField("segment_ids", "seq"),
    RecordField("masked_lm_positions", "predictions"),
    RecordField("masked_lm_ids", "predictions"),
    RecordField("masked_lm_weights", "predictions", "float32"),
    RecordField("next_sentence_labels", None),
)
