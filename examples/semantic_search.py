"""Finds texts by their meaning: makes an index, keeps it, and asks it.

python examples/semantic_search.py --model all-MiniLM-L6-v2/ "a big cat"
python examples/semantic_search.py --model DIR --input texts.txt --index DIR "query"
"""

import argparse
from pathlib import Path

from keras_bert.tasks import SentenceEmbedding, VectorIndex

TEXTS = [
    "A tiger hunts deer in the forest.",
    "The bank raised its interest rates.",
    "He plays the violin in an orchestra.",
    "Kittens sleep most of the day.",
]

parser = argparse.ArgumentParser()
parser.add_argument("queries", nargs="+", help="what to look for")
parser.add_argument("--model", required=True, help="any checkpoint of a BERT")
parser.add_argument("--input", type=Path, help="a file with a text per line")
parser.add_argument("--index", type=Path, help="where the index is kept")
parser.add_argument("--top", type=int, default=3, help="texts for each query")
args = parser.parse_args()

embedder = SentenceEmbedding.from_pretrained(args.model)
if args.index and args.index.exists():
    index = VectorIndex.load(args.index)
else:
    texts = args.input.read_text("utf-8").splitlines() if args.input else TEXTS
    index = embedder.index(texts)
    if args.index:
        index.save(args.index)
for query, hits in zip(
    args.queries, embedder.search(args.queries, index, args.top), strict=True
):
    print(query, *(f"{hit['score']:.3f}  {hit['text']}" for hit in hits), sep="\n  ")
