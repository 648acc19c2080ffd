"""Ranking texts by a model that reads the query and each text together.

Such a model, a cross-encoder, is slower and more exact than vectors: search by vectors
first, and rank the best again.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keras_bert.errors import InputError, choose
from keras_bert.tasks.embedding_scores import Relevant, retrieval_scores
from keras_bert.tasks.examples import Example
from keras_bert.tasks.labels import LISTS

METRICS = ("mrr@10", "ndcg@10", "map@100")


class Reranking:
    """What ranks texts, a mixin of tasks on pairs of texts."""

    config: Any
    labels: Any
    outputs: Any

    def rerank(
        self,
        query: str,
        texts: Sequence[str],
        *,
        k: int | None = None,
        label: str | None = None,
        batch_size: int = 32,
    ) -> list[dict[str, Any]]:
        """Returns texts in the order in which they answer a query, the best first.

        Args:
            query: a string.
            texts: strings.
            k: how many to return, at most; None returns all.
            label: the class of texts that answer the query, for a model that
                classifies pairs; the score is then its probability.
            batch_size: pairs per batch.

        Returns:
            A dict for each text, with `row`, its number from 1, `text` and `score`.
            Texts of equal scores keep their order.

        Raises:
            InputError: the model classifies, and there is no label.
            UnknownNameError: there is no such label.

        Example:
            >>> task = TextRegression.from_pretrained("ckpt/")  # doctest: +SKIP
            >>> task.rerank("capital of Peru", ["Lima", "Cusco"])[0]["text"]
            ... # doctest: +SKIP
            'Lima'
        """
        scores = self._scores([(query, text) for text in texts], label, batch_size)
        order = np.argsort(-scores, kind="stable")[:k]
        return [
            {"row": int(n) + 1, "text": texts[n], "score": float(scores[n])}
            for n in order
        ]

    def evaluate_ranking(
        self,
        samples: Iterable[tuple[str, Sequence[str], Relevant]],
        *,
        metrics: Sequence[str] = METRICS,
        label: str | None = None,
        batch_size: int = 32,
    ) -> dict[str, float]:
        """Returns how well texts are ranked, by name of the metric.

        Args:
            samples: for each query the query, its texts, and which of them are
                relevant: their numbers from 0, or a mapping from these to how much.
            metrics: see `keras_bert.tasks.embedding_scores.retrieval_scores`.
            label, batch_size: see `rerank`.
        """
        samples = list(samples)
        pairs = [(query, text) for query, texts, _ in samples for text in texts]
        ends = np.cumsum([len(texts) for _, texts, _ in samples])
        parts = np.split(self._scores(pairs, label, batch_size), ends[:-1])
        found = [np.argsort(-part, kind="stable").tolist() for part in parts]
        return retrieval_scores(found, [relevant for *_, relevant in samples], metrics)

    def _scores(
        self, pairs: list[tuple[str, str]], label: str | None, batch_size: int
    ) -> np.ndarray:
        """Returns how well the second text of each pair answers the first."""
        if not pairs:
            raise InputError("Expected texts to rank. Received: none.")
        items = [Example(*pair) for pair in pairs]
        logits = np.asarray(self.outputs(items, batch_size=batch_size), "float64")
        if self.labels is None:
            return logits.reshape(-1)
        if label is None:
            raise InputError(
                "Expected the label of texts that answer the query, for a model that "
                f"classifies: {', '.join(self.labels)}. Received: none. Pass label=…."
            )
        chosen = self.labels.index(choose("label", label, self.labels))
        if self.config.problem_type == LISTS:
            return np.exp(-np.logaddexp(0, -logits[:, chosen]))
        exponents = np.exp(logits - logits.max(-1, keepdims=True))
        return exponents[:, chosen] / exponents.sum(-1)
