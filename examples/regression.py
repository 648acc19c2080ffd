"""Learns a number for each pair of texts: how alike they are.

python examples/regression.py
python examples/regression.py --model bert-base-uncased/ --data glue_data/STS-B
"""

import argparse

from tiny_model import tiny_model

from keras_bert.tasks import Example, TextRegression, read_glue

PAIRS = [
    ("a cat sleeps", "a cat sleeps", 5.0),
    ("a cat sleeps", "a dog sleeps", 3.0),
    ("a cat sleeps", "it rains", 0.0),
    ("a dog runs", "a dog sleeps", 2.5),
    ("a dog runs", "it rains", 0.5),
    ("it rains", "it rains", 5.0),
]

parser = argparse.ArgumentParser()
parser.add_argument("--model", help="a checkpoint")
parser.add_argument("--data", help="the folder of STS-B")
args = parser.parse_args()

train = dev = [Example(one, other, str(score)) for one, other, score in PAIRS]
if args.data:
    train, dev = (read_glue(args.data, "stsb", split) for split in ("train", "dev"))
texts = [text for pair in PAIRS for text in pair[:2]]
task = TextRegression.from_pretrained(args.model or tiny_model(texts))
# A model with random weights needs longer than a pretrained one.
settings = {} if args.model else {"epochs": 40, "batch_size": 4, "learning_rate": 5e-3}
task.fit(train, dev=dev, **settings)
print(task.evaluate(dev))
print(task.predict([("a cat sleeps", "a dog runs")])[0])
