"""A head of one's own on the encoder, trained by plain Keras.

python examples/custom_head.py [--model bert-base-uncased/]
"""

import argparse

import keras
from keras import ops
from tiny_model import tiny_model

from keras_bert import BertModel, BertTokenizer

TEXTS, STARS = ["a fine film", "so dull", "a fine dull film"], ops.array([5.0, 1, 3])


class Stars(keras.Model):
    """A number of stars, from the mean of the last hidden states."""

    def __init__(self, encoder: BertModel):
        super().__init__()
        self.encoder, self.output_layer = encoder, keras.layers.Dense(1)

    def call(self, inputs, training=None):
        states = self.encoder(inputs, training=training)["last_hidden_state"]
        mask = ops.cast(inputs["attention_mask"], states.dtype)[..., None]
        return self.output_layer(ops.sum(states * mask, 1) / ops.sum(mask, 1))


parser = argparse.ArgumentParser()
parser.add_argument("--model", help="a checkpoint")
path = parser.parse_args().model or tiny_model(TEXTS)

inputs = dict(BertTokenizer.from_pretrained(path)(TEXTS))
model = Stars(BertModel.from_pretrained(path, add_pooling_layer=False))
model.compile(keras.optimizers.AdamW(1e-3), "mse")
model.fit(inputs, STARS, batch_size=3, epochs=30, verbose=0)
for text, stars in zip(TEXTS, model.predict(inputs, verbose=0)[:, 0], strict=True):
    print(f"{stars:.1f}  {text}")
