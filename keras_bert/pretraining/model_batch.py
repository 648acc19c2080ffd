"""Records to model batches: what the readers in tf.data and in NumPy share."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_bert.errors import InputError
from keras_bert.features import INPUTS
from keras_bert.pretraining.masking import MaskedRowMaker, MaskingSettings
from keras_bert.pretraining.record_form import RecordForm
from keras_bert.pretraining.records import CompactRows, static_columns
from keras_bert.pretraining.rows import Pieces, piece_lengths
from keras_bert.tokenization import BertTokenizer

OUTPUTS = ("prediction_logits", "seq_relationship_logits")


def split_fields(fields: Mapping[str, Any]) -> tuple[dict, Any, Any]:
    """Splits the fields of records into features, labels and weights.

    Args:
        fields: by the names of `keras_bert.features.PRETRAINING_RECORD`, in the
            model's dtypes, with weights of sentences where there are labels.
    """
    features = {name: value for name, value in fields.items() if name in INPUTS}
    tokens = fields["masked_lm_ids"], fields["masked_lm_weights"]
    if "next_sentence_labels" not in fields:
        return features, *tokens
    sentences = fields["next_sentence_labels"], fields["next_sentence_weights"]
    by_output = (
        dict(zip(OUTPUTS, values, strict=True))
        for values in zip(tokens, sentences, strict=True)
    )
    return features, *by_output


class CompactDecoder:
    """Turns compact rows into the fields of static records.

    Args:
        form: of the records; the number of predictions is added to its sizes.
        tokenizer: the one the records were made with.
        masking: how rows are masked; None for the defaults.

    Raises:
        InputError: there is no tokenizer.
    """

    def __init__(
        self,
        form: RecordForm,
        tokenizer: BertTokenizer | None,
        masking: MaskingSettings | None,
    ) -> None:
        if tokenizer is None:
            raise InputError(
                "Expected a tokenizer, received none: compact records are masked when "
                "they are read. Pass the one they were made with."
            )
        masking = masking or MaskingSettings()
        form.sizes["predictions"] = masking.max_predictions
        self.form = form
        self.make_rows = MaskedRowMaker.of(
            tokenizer, form.sizes["seq"], form.sizes["pieces"], masking
        )

    def __call__(
        self, compact: CompactRows, labels: np.ndarray, keys: np.ndarray
    ) -> list[np.ndarray]:
        """Returns the fields of a batch, in the order of `RecordForm.fields`.

        Args:
            compact: the rows.
            labels: of each piece; ignored if records have none.
            keys: uint64, of each piece: all masks follow from them.
        """
        vocabulary = self.make_rows.vocabulary
        self._check(compact.tokens, len(vocabulary.maskable))
        self._check_rows(compact, labels)
        labels = labels if self.form.labeled else np.zeros(len(keys), np.int64)
        continues = compact.continues
        if continues is None:
            continues = vocabulary.continues[compact.tokens]
        pieces = Pieces(compact.spans, labels, keys)
        columns = static_columns(
            *self.make_rows(compact.tokens, continues, pieces, compact.places)
        )
        return [
            columns[field.name]
            .reshape(-1, *self.form.shape(field))
            .astype(field.dtype, copy=False)
            for field in self.form.fields()
        ]

    def _check_rows(self, compact: CompactRows, labels: np.ndarray) -> None:
        width, slots = self.form.sizes["seq"], self.form.sizes["pieces"]
        rows = compact.places.rows
        lengths = np.bincount(rows, piece_lengths(compact.spans))
        if lengths.max(initial=0) > width or np.bincount(rows).max(initial=0) > slots:
            raise InputError(
                f"Expected rows of at most {width} tokens in {slots} pieces, as in the "
                "first record. Received more. Give records made together."
            )
        if self.form.labeled and len(labels) != len(rows):
            raise InputError(
                f"Expected a label for each of {len(rows)} pieces, as in the first "
                f"record. Received: {len(labels)} labels. Give records made together."
            )

    def _check(self, tokens: np.ndarray, size: int) -> None:
        if (largest := tokens.view(np.uint32).max(initial=0)) >= size:
            raise InputError(
                f"Expected ids below {size}, the size of the vocabulary, received "
                f"{largest}. Use the tokenizer the records were made with."
            )
