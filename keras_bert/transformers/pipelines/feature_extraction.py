"""Vectors of tokens: `pipeline("feature-extraction")`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_bert.transformers.pipelines import base


@dataclass(frozen=True)
class Options(base.Options):
    """The options of `FeatureExtractionPipeline`."""

    return_tensors: bool = False


class FeatureExtractionPipeline(base.Pipeline):
    """What a model returns first, of an encoder a vector for each token.

    Call arguments:
        inputs: texts.
        truncation, max_length and others: see the tokenizer's call.
        tokenize_kwargs: a dict of these.
        return_tensors: return tensors, not lists.

    Returns:
        Of each text nested lists, or a tensor, `(1, seq, hidden)`.
    """

    name = "feature-extraction"
    kinds = ()
    options_type = Options
    takes_tokenizer_options = True
    tokenizer_dict = "tokenize_kwargs"

    def answer(
        self,
        item: Any,
        rows: Sequence[base.Row],
        outputs: Sequence[dict[str, np.ndarray]],
        options: Options,
    ) -> Any:
        features = next(iter(outputs[0].values()))[None]
        if options.return_tensors:
            return keras.ops.convert_to_tensor(features)
        return features.tolist()
