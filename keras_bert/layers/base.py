"""What all layers share: the config they take, and how they make their sublayers."""

import zlib
from typing import Any, Self

import keras

from keras_bert import families
from keras_bert.config import Config
from keras_bert.layers.dense import Dense
from keras_bert.layers.dropout import Dropout


class Composite:
    """Makes sublayers that take over config, seed and dtype policy.

    Their paths tell their initial values and their dropout apart. A mixin of layers and
    models, which have `config` and `seed`.
    """

    config: Config
    seed: int | None
    path: str
    dtype_policy: Any

    def add_layer(self, kind: type, name: str, **options: Any) -> Any:
        """Makes and builds a layer of this package."""
        return self._built(kind, self.config, name, seed=self.seed, **options)

    def add_dense(self, units: int, name: str, inputs: int, **options: Any) -> Any:
        """Makes and builds a dense layer with a kernel of `(inputs, units)`."""
        options["kernel_initializer"] = self.initializer(name)
        return self._built(Dense, units, name, (None, inputs), **options)

    def add_table(self, kind: type, name: str, rows: int) -> Any:
        """Makes and builds a table of embeddings, `(rows, embedding)`."""
        options = {"embeddings_initializer": self.initializer(name)}
        width = self.config.embedding_width
        table = kind(rows, width, name=name, dtype=self.dtype_policy, **options)
        table.build((None, None))
        return table

    def add_dropout(self, rate: float, name: str, **options: Any) -> Any:
        """Makes and builds a dropout, which draws by its path."""
        return self._built(Dropout, rate, name, **options)

    def initializer(self, name: str) -> keras.Initializer:
        """Returns the truncated normal that the weights of a sublayer start from.

        Source: `create_initializer` in Google's `modeling.py`.
        """
        seed, place = self.seed, f"{self.path}/{name}" if self.path else name
        if seed is not None:  # weights of equal shape differ
            seed = zlib.crc32(f"{seed}/{place}".encode()) & 0x7FFFFFFF
        stddev = self.config.initializer_range
        return keras.initializers.TruncatedNormal(stddev=stddev, seed=seed)

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> Self:
        made: Any = cls  # takes a config, as a layer or a model
        config = dict(config)
        return made(families.read_config(config.pop("config")), **config)

    def _built(
        self, kind: type, size: Any, name: str, shape: Any = None, **options: Any
    ) -> Any:
        layer = kind(size, name=name, **{"dtype": self.dtype_policy, **options})
        layer.build(shape)
        return layer


class Layer(Composite, keras.layers.Layer):
    """A layer that takes a model's config and makes its sublayers in `build()`.

    It does not cast what it is given; its sublayers do. The attention bias must stay
    float32: -1e9 is infinite in float16.

    Args:
        config: the hyper-parameters of the model.
        seed: seed of the initial values; None takes Keras' global one.
        **kwargs: arguments of `keras.layers.Layer`.
    """

    def __init__(self, config: Config, *, seed: int | None = None, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.config, self.seed = config, seed

    def get_config(self) -> dict:
        values = {"config": self.config.to_dict(), "seed": self.seed}
        return {**super().get_config(), **values}
