"""Vectors of texts: computed, compared, searched, scored."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from keras_bert.errors import ConfigError, InputError, check_counts
from keras_bert.extras import installed
from keras_bert.sentence_recipe import SentenceRecipe
from keras_bert.strings import is_text
from keras_bert.tasks.embedding_scores import SIMILARITIES as OF_PAIRS
from keras_bert.tasks.embedding_training import EmbeddingTask
from keras_bert.tasks.examples import Example
from keras_bert.tasks.similarity import similarities, unit
from keras_bert.tasks.text_classification import write_predictions
from keras_bert.tasks.text_tasks import TextRegression
from keras_bert.tasks.vector_index import VectorIndex

# The prompts of queries and of the texts they find, in the order they are looked for.
QUERY, DOCUMENT = ("query",), ("document", "passage", "corpus")
FEW = 64  # texts for which the graph that is served, seconds of work, is not made


class SentenceEmbedding(EmbeddingTask):
    """Makes a vector of each text, so that similar texts have similar vectors.

    It learns from pairs of texts that belong together, see `EmbeddingTask`.

    Args:
        source: a model, of which the encoder is taken; or a checkpoint.
        recipe: how vectors are made; None takes that of the folder, or else the mean
            of the tokens' states, scaled to length 1.
        tokenizer, **options: see `Task`.

    Example:
        >>> embedder = SentenceEmbedding.from_pretrained("MiniLM/")  # doctest: +SKIP
        >>> embedder.encode(["A man eats.", "Somebody dines."]).shape  # doctest: +SKIP
        (2, 384)
    """

    name = "embed"

    def __init__(
        self,
        source: Any,
        tokenizer: Any = None,
        *,
        recipe: SentenceRecipe | None = None,
        **options: Any,
    ):
        super().__init__(source, tokenizer, **options)
        self._vector_recipe = recipe
        self._encoders: dict[tuple, Any] = {}
        self._seen = 0
        if self._model is not None and not isinstance(self._model, self.model_class):
            self._model = self.model_class.of_folder(self._model, recipe=recipe)

    # === Model ===

    @classmethod
    def fits(cls, model: Any) -> bool:
        from keras_bert.models import SentenceEncoder

        return isinstance(model, SentenceEncoder) or model.sentence_modules is not None

    @property
    def model_class(self) -> Any:
        from keras_bert.models import SentenceEncoder

        return SentenceEncoder

    def make_model(self, fields: Mapping[str, Any]) -> Any:
        options = {"dtype": self.dtype, "seed": self.seed}
        return self.model_class.from_pretrained(
            self.checkpoint, recipe=self._vector_recipe, **options, **fields
        )

    # === Vectors ===

    def encode(  # type: ignore[override]  # what is trained on is `encoded`
        self,
        texts: str | Sequence[str],
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        batch_size: int = 32,
        normalize: bool = False,
        truncate_dim: int | None = None,
        progress: bool = False,
    ) -> np.ndarray:
        """Returns the vectors of texts, in order.

        Texts of similar length are computed together. What is longer than the model
        takes is cut off.

        Args:
            texts: strings, or one string.
            prompt: a text to put before each.
            prompt_name: the name of one of the model's prompts, instead; by default
                its default prompt.
            batch_size: texts per batch.
            normalize: scale the vectors to length 1.
            truncate_dim: keep so many numbers of each vector, the first ones.
            progress: show a progress bar.

        Returns:
            float32 `(texts, dim)`; `(dim,)` for one string.

        Raises:
            InputError: an item is no string.
            ConfigError: there is no such prompt, both kinds are given, or a number is
                out of range.
        """
        single = isinstance(texts, str)
        listed = [texts] if single else _strings(texts)
        if prompt is not None and prompt_name is not None:
            raise ConfigError("Expected prompt or prompt_name. Received: both.")
        if prompt is None:
            prompt = self.model.recipe.prompt(prompt_name)
        width = self._width(truncate_dim)
        vectors = np.zeros((len(listed), self.model.width), "float32")
        if listed:
            self._seen += len(listed)
            vectors[:] = self._encoder(prompt, batch_size)(listed, progress)
        vectors = vectors[:, :width]
        vectors = unit(vectors) if normalize else vectors
        return vectors[0] if single else vectors

    def encode_query(self, texts: str | Sequence[str], **options: Any) -> np.ndarray:
        """Returns the vectors of queries, with the model's prompt for them, if any.

        Args:
            texts, **options: see `encode`.
        """
        return self.encode(texts, **self._prompted(QUERY, options))

    def encode_document(self, texts: str | Sequence[str], **options: Any) -> np.ndarray:
        """Returns the vectors of texts to be found, with their prompt, if any.

        Args:
            texts, **options: see `encode`.
        """
        return self.encode(texts, **self._prompted(DOCUMENT, options))

    def similarity(self, a: Any, b: Any, name: str | None = None) -> np.ndarray:
        """Compares texts or vectors, every one with every one.

        Args:
            a: strings, or vectors `(n, dim)`.
            b: strings, or vectors `(m, dim)`.
            name: "cosine", "dot", "euclidean" or "manhattan"; None takes the model's.

        Returns:
            `(n, m)`; the larger, the more alike.
        """
        name = name or self.model.recipe.similarity
        return similarities(self._vectors(a), self._vectors(b), name)

    def index(self, texts: Sequence[str], **options: Any) -> VectorIndex:
        """Returns an index of texts, for `search` and to save.

        Args:
            texts: strings.
            **options: see `encode`.
        """
        vectors = self.encode_document(texts, **options)
        named = [{"row": n, "text": text} for n, text in enumerate(texts, 1)]
        return VectorIndex(vectors, named, self.model.recipe.similarity)

    def search(
        self,
        queries: str | Sequence[str],
        texts: Sequence[str] | VectorIndex,
        k: int = 10,
    ) -> Any:
        """Returns the texts most similar to queries, the best first.

        Args:
            queries: strings, or one string.
            texts: strings, or an index of them.
            k: texts for each query, at most.

        Returns:
            A list for each query, or one for one query: of dicts with `row`, from 1,
            `text` and `score`.
        """
        index = texts if isinstance(texts, VectorIndex) else self.index(texts)
        found = index.search(self.encode_query(queries), k)
        return found[0] if isinstance(queries, str) else found

    def predict(
        self, texts: Any, text_pairs: Sequence[str] | None = None, **options: Any
    ) -> list[dict[str, Any]]:
        if text_pairs is not None:
            raise InputError(
                "Expected texts alone. Received: text_pairs. Compare two texts by "
                "similarity(a, b)."
            )
        return [{"embeddings": v.tolist()} for v in self.encode(texts, **options)]

    def _prompted(self, names: Sequence[str], options: dict) -> dict[str, Any]:
        if {"prompt", "prompt_name"} & options.keys():
            return options
        known = [name for name in names if name in self.model.recipe.prompts]
        return {**options, "prompt_name": known[0]} if known else options

    def _vectors(self, given: Any) -> np.ndarray:
        texts = isinstance(given, str) or isinstance(next(iter(given), None), str)
        return self.encode(given) if texts else np.asarray(given)

    def _width(self, truncate_dim: int | None) -> int:
        whole = self.model.width
        if truncate_dim is not None and not 1 <= truncate_dim <= whole:
            raise ConfigError(
                f"Expected truncate_dim from 1 to {whole}, the width of the vectors. "
                f"Received: {truncate_dim}."
            )
        return truncate_dim or whole

    def _encoder(self, prompt: str, batch_size: int) -> Any:
        """Returns what makes vectors of texts; made once for each prompt."""
        from keras import backend

        check_counts(batch_size=batch_size)
        pooled = self.model.recipe.include_prompt
        before, hidden = (prompt, "") if pooled else ("", prompt)
        graphs = backend.backend() == "tensorflow" and installed("tensorflow_text")
        kind = _InGraph if graphs and self._seen > FEW else _OnHost
        key = kind, self.model, self.tokenizer, self.max_length, batch_size, hidden
        if key not in self._encoders:
            self._encoders[key] = kind(self, batch_size, hidden)
        vectors = self._encoders[key]
        return lambda texts, progress: vectors([before + t for t in texts], progress)

    # === Training and scores ===

    def encoded(self, items: list[Example], **options: Any) -> tuple:
        return super().encode(items, **options)

    def vectors(self, texts: Sequence[str], *, batch_size: int = 32) -> np.ndarray:
        return self.encode(texts, batch_size=batch_size)

    def write_predictions(
        self,
        path: str | Path,
        rows: list[Example],
        outputs: np.ndarray,
        *,
        overwrite: bool = False,
    ) -> None:
        """Writes the cosine of each pair, see `keras_bert.tasks.write_predictions`."""
        cosines = OF_PAIRS["cosine"](outputs[:, 0], outputs[:, 1])
        write_predictions(path, rows, cosines, overwrite=overwrite)


class SentenceSimilarity(SentenceEmbedding):
    """Scores how similar two texts are: the cosine of their vectors.

    A model with a head that scores pairs is scored by that, see `for_model`.
    """

    name, scored = "sts", True
    recipe: ClassVar[Mapping[str, Any]] = {
        **SentenceEmbedding.recipe,
        "batch_size": 16,
        "epochs": 4,
    }
    any_head: ClassVar[bool] = True

    @classmethod
    def for_model(cls, model: Any, *args: Any, **options: Any) -> Any:
        kind = TextRegression if TextRegression.fits(model) else cls
        return kind(model, *args, **options)


class _InGraph:
    """Vectors by the graph that is served."""

    def __init__(self, task: SentenceEmbedding, batch_size: int, prompt: str):
        from keras_bert.serving.predictor import Predictor

        options = {"max_length": task.max_length, "batch_size": batch_size}
        model, tokenizer = task.model, task.tokenizer
        self._predict = Predictor(model, tokenizer, prompt=prompt, **options)

    def __call__(self, texts: list[str], progress: bool) -> list[np.ndarray]:
        found = self._predict(texts, progress=progress)
        return [answer["embeddings"] for answer in found]


class _OnHost:
    """Vectors by the model itself, on any backend."""

    def __init__(self, task: SentenceEmbedding, batch_size: int, prompt: str):
        from keras_bert.serving.graph.servable import prompt_tokens

        self._model, self._tokenizer = task.model, task.tokenizer
        self._batch_size, self._prompt = batch_size, prompt
        limit = task.max_length or task.model.max_text_length(task.tokenizer)
        self._limit = limit
        self._hidden = prompt_tokens(task.model, task.tokenizer, prompt)

    def __call__(self, texts: list[str], progress: bool) -> list[np.ndarray]:
        order = np.argsort([-len(text) for text in texts], kind="stable")
        rows: list[Any] = [None] * len(texts)
        for start in range(0, len(order), self._batch_size):
            chosen = order[start : start + self._batch_size]
            for place, vector in zip(chosen, self._batch(texts, chosen), strict=True):
                rows[place] = vector
        return rows

    def _batch(self, texts: list[str], chosen: np.ndarray) -> np.ndarray:
        from keras import ops

        from keras_bert.layers.pooling import without_prompt

        given = [self._prompt + texts[n] for n in chosen]
        batch = self._tokenizer.encode_batch(given, max_length=self._limit)
        with without_prompt(self._hidden):
            outputs = self._model(batch, training=False)
        return ops.convert_to_numpy(outputs["embeddings"])


def _strings(texts: Sequence[str]) -> list[str]:
    listed = list(texts)
    for number, text in enumerate(listed):
        if not is_text(text):
            raise InputError(
                f"Expected strings. Received: {str(text)[:40]!r} of type "
                f"{type(text).__name__}, number {number}."
            )
    return listed
