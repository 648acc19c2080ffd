"""A sentence encoder in training: rows of several texts, and a loss of vectors."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_bert.config import Config
from keras_bert.features import ENCODER_INPUTS
from keras_bert.losses import Objective
from keras_bert.models.embedding_losses import EmbeddingLoss, Matryoshka
from keras_bert.models.encoder import Encoded
from keras_bert.models.heads import MultipleChoice
from keras_bert.models.sentence_encoder import SentenceEncoder

Tensor = Any


class _Learned(Objective):
    """What is learned by a loss that is there already, and no metric."""

    @property
    def new_metrics(self) -> list[keras.metrics.Metric]:
        return []


class TextGroups(SentenceEncoder):
    """Makes a vector of each text of a row, by the layers of a sentence encoder.

    All texts of a batch go through the encoder in one pass.

    Args:
        model: whose layers it shares, and so trains.
        loss: what is learned.

    Call arguments:
        inputs: as for `PreTrainedModel`, of shape `(batch, texts, seq)`.

    Returns:
        Vectors, float32 `(batch, texts, width)`.

    Raises:
        ConfigError: the loss cuts vectors to more dimensions than they have.

    Example:
        >>> from keras_bert import BertConfig, SentenceEncoder
        >>> from keras_bert.models.embedding_losses import CoSENT
        >>> model = SentenceEncoder(BertConfig.preset("tiny", vocab_size=99))
        >>> groups = TextGroups(model, CoSENT())
        >>> groups({"input_ids": np.ones((4, 2, 5), int)}).shape
        TensorShape([4, 2, 128])
    """

    choices = True
    input_names = ENCODER_INPUTS
    rows = MultipleChoice.rows

    def __init__(self, model: SentenceEncoder, loss: EmbeddingLoss):
        if isinstance(loss, Matryoshka):
            loss.check_width(model.width)
        own: Any = vars(self)
        own.update(_dense=model.dense_layers(), _loss=loss)
        options = {"dtype": model.dtype_policy, "seed": model.seed}
        super().__init__(model.config, model.recipe, encoder=model.encoder, **options)
        self.find_tokenizer, self._tokenizer = model.find_tokenizer, model._tokenizer
        self.tokenizer_attached = model.tokenizer_attached
        self.sentence_modules = model.sentence_modules

    def make_head(self) -> None:
        for number, layer in enumerate(self._dense):
            setattr(self, f"dense_{number}", layer)

    def objectives(  # type: ignore[override]  # they are those of one model
        self, config: Config
    ) -> Mapping[str, Objective]:
        def loss() -> EmbeddingLoss:
            return self._loss

        loss.__name__ = self._loss.name
        kinds: Any = (loss, keras.metrics.Metric)
        return {"logits": _Learned(kinds[0], kinds[1], "batch choices hidden")}

    def outputs(
        self, encoded: Encoded, inputs: Mapping[str, Tensor], training: bool
    ) -> dict[str, Tensor]:
        rows = self.rows(dict(inputs))
        vectors = super().outputs(encoded, rows, training)["embeddings"]
        texts = keras.ops.shape(inputs["input_ids"])[1]
        return {"logits": keras.ops.reshape(vectors, (-1, texts, self.width))}
