"""Makes a vector of each text, and says how alike the texts are.

python examples/feature_extraction.py --model all-MiniLM-L6-v2/
python examples/feature_extraction.py --model DIR --input texts.txt --output v.npy
"""

import argparse
from pathlib import Path

import numpy as np

from keras_bert.tasks import SentenceEmbedding

TEXTS = [
    "A man is eating food.",
    "Somebody is having a meal.",
    "The stock market fell today.",
]

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True, help="any checkpoint of a BERT")
parser.add_argument("--input", type=Path, help="a file with a text per line")
parser.add_argument("--output", type=Path, help="a .npy file for the vectors")
args = parser.parse_args()

texts = args.input.read_text("utf-8").splitlines() if args.input else TEXTS
embedder = SentenceEmbedding.from_pretrained(args.model)
vectors = embedder.encode(texts, batch_size=64)
print(f"{len(vectors)} vectors of {vectors.shape[1]} numbers")
if args.output:
    np.save(args.output, vectors)

alike = embedder.similarity(vectors, vectors)
np.fill_diagonal(alike, -1)  # leaves each text itself out
for text, row in zip(texts, alike, strict=True):
    print(f"{row.max():.3f}  {text}  ->  {texts[row.argmax()]}")
