"""Writes `golden_embeddings.json`: losses and scores by sentence-transformers.

Run `python -m tests.tasks.make_golden_embeddings` with sentence-transformers 6 and
pytrec_eval-terrier installed.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("golden_embeddings.json")
BOTH = ("query_to_doc", "doc_to_query")


def vectors(columns: int, seed: int) -> np.ndarray:
    """Returns vectors of rows of texts, `(5, columns, 7)`."""
    drawn = np.random.default_rng(seed).normal(size=(5, columns, 7))
    return drawn.round(3)


def losses() -> list[dict[str, Any]]:
    """Returns losses, their arguments, inputs, values and gradients."""
    from sentence_transformers.sentence_transformer import losses as library

    triplets = library.triplet.TripletDistanceMetric
    scores, cases = [0.1, 0.9, 0.5, 0.5, 0.0], []

    def add(name: str, loss: Any, columns: int, labels: Any = None, **given: Any):
        cases.append(
            {
                "loss": name,
                **given,
                **_computed(loss, vectors(columns, len(cases)), labels),
            }
        )

    ranking = library.MultipleNegativesRankingLoss
    add("multiple_negatives", ranking(None), 2)
    add("multiple_negatives", ranking(None, scale=7.0), 4, arguments={"scale": 7.0})
    both = ranking(None, directions=BOTH, partition_mode="per_direction")
    add("multiple_negatives", both, 3, arguments={"symmetric": True})
    add("cosine", library.CosineSimilarityLoss(None), 2, scores)
    add("cosent", library.CoSENTLoss(None), 2, scores)
    add("cosent", library.CoSENTLoss(None, 3.0), 2, scores, arguments={"scale": 3.0})
    add("angle", library.AnglELoss(None), 2, scores)
    add("triplet", library.TripletLoss(None), 3)
    for distance, margin in (("cosine", 0.3), ("manhattan", 2.0)):
        metric = getattr(triplets, distance.upper())
        arguments = {"distance": distance, "margin": margin}
        add(
            "triplet", library.TripletLoss(None, metric, margin), 3, arguments=arguments
        )
    for inner, name, columns in (
        (ranking(None), "multiple_negatives", 3),
        (library.CoSENTLoss(None), "cosent", 2),
    ):
        cut = {"dimensions": [3, 7, 5], "weights": [0.5, 1.0, 0.25]}
        labels = scores if name == "cosent" else None
        add(name, _Cut(inner, **cut), columns, labels, matryoshka=cut)
    return cases


class _Cut:
    """The sum over dimensions of MatryoshkaLoss, of vectors instead of texts."""

    def __init__(self, loss: Any, dimensions: list[int], weights: list[float]):
        self.loss, self.parts = loss, list(zip(dimensions, weights, strict=True))

    def compute_loss_from_embeddings(self, columns: list, labels: Any) -> Any:
        from sentence_transformers.sentence_transformer.losses.matryoshka import shrink

        of = self.loss.compute_loss_from_embeddings
        return sum(
            w * of([shrink(x, d) for x in columns], labels) for d, w in self.parts
        )


def _computed(loss: Any, values: np.ndarray, labels: Any) -> dict[str, Any]:
    import torch

    given = torch.tensor(values, dtype=torch.float32, requires_grad=True)
    scores = None if labels is None else torch.tensor(labels)
    value = loss.compute_loss_from_embeddings(list(given.unbind(1)), scores)
    value.backward()
    return {
        "vectors": values.tolist(),
        "labels": labels,
        "value": value.item(),
        "gradient": given.grad.numpy().astype("float64").round(7).tolist(),
    }


def similarity() -> dict[str, Any]:
    """Returns correlations of similarities, and scores of pairs."""
    from sentence_transformers.sentence_transformer import evaluation

    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 30, 6))
    second[:15] += 2 * first[:15]
    first, second = first.round(4), second.round(4)
    labels = rng.integers(0, 6, 30).tolist()
    binary = [int(x) for x in rng.random(30) < np.where(np.arange(30) < 15, 0.9, 0.2)]
    texts = [[str(i) for i in range(n, n + 30)] for n in (0, 30)]
    model = _Vectors(np.concatenate([first, second]))
    names = ["cosine", "dot", "euclidean", "manhattan"]
    sts = evaluation.EmbeddingSimilarityEvaluator(
        *texts, labels, similarity_fn_names=names
    )
    pairs = evaluation.BinaryClassificationEvaluator(
        *texts, binary, similarity_fn_names=["cosine"]
    )
    return {
        "first": first.tolist(),
        "second": second.tolist(),
        "labels": labels,
        "binary": binary,
        "sts": {k: float(v) for k, v in sts(model).items() if "max" not in k},
        "pairs": {k: float(v) for k, v in pairs(model).items()},
    }


class _Vectors:
    """A model whose texts are the numbers of their vectors."""

    similarity_fn_name = "cosine"
    model_card_data = type(
        "_Card", (), {"set_evaluation_metrics": lambda *args, **kwargs: None}
    )()

    def __init__(self, vectors: np.ndarray):
        self.vectors = vectors

    def encode(
        self, texts: list[str], convert_to_tensor: bool = False, **_: Any
    ) -> Any:
        import torch

        return torch.tensor(self.vectors[list(map(int, texts))], dtype=torch.float32)

    encode_query = encode_document = encode

    def similarity(self, a: Any, b: Any) -> Any:
        from sentence_transformers.util import cos_sim

        return cos_sim(a, b)


def retrieval() -> dict[str, Any]:
    """Returns scores of a ranking, relevance being yes or no, or graded."""
    import pytrec_eval
    from sentence_transformers.sentence_transformer.evaluation import (
        InformationRetrievalEvaluator,
    )

    rng = np.random.default_rng(2)
    queries, texts = rng.normal(size=(9, 5)), rng.normal(size=(40, 5))
    both = np.concatenate([queries, texts]).round(4)
    relevant = [sorted(map(int, rng.choice(40, n, False))) for n in range(1, 10)]
    grades = [{n: int(rng.integers(1, 4)) for n in found} for found in relevant]
    evaluator = InformationRetrievalEvaluator(
        {f"q{i}": str(i) for i in range(9)},
        {f"{i:02}": str(i + 9) for i in range(40)},
        {f"q{i}": {f"{n:02}" for n in found} for i, found in enumerate(relevant)},
        precision_recall_at_k=[1, 10],
    )
    found = evaluator(_Vectors(both))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (both[:9], both[9:]))
    run = {
        f"q{i}": {str(n): float(x) for n, x in enumerate(r)}
        for i, r in enumerate(a @ b.T)
    }
    judged = {f"q{i}": {str(n): x for n, x in g.items()} for i, g in enumerate(grades)}
    measures = {"ndcg_cut.3,10", "recall.3", "P.3"}
    trec = pytrec_eval.RelevanceEvaluator(judged, measures).evaluate(run).values()
    means = {k: float(np.mean([row[k] for row in trec])) for k in next(iter(trec))}
    return {
        "queries": both[:9].tolist(),
        "texts": both[9:].tolist(),
        "relevant": relevant,
        "grades": [[[n, x] for n, x in g.items()] for g in grades],
        "scores": {k.removeprefix("cosine_"): float(v) for k, v in found.items()},
        "graded": {
            **{f"ndcg@{k}": means[f"ndcg_cut_{k}"] for k in (3, 10)},
            "recall@3": means["recall_3"],
            "precision@3": means["P_3"],
        },
    }


if __name__ == "__main__":
    golden = {
        "losses": losses(),
        "similarity": similarity(),
        "retrieval": retrieval(),
    }
    FILE.write_text(json.dumps(golden, separators=(",", ":")) + "\n", encoding="utf-8")
