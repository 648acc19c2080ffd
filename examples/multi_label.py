"""Gives a text all labels that apply, of several.

python examples/multi_label.py
python examples/multi_label.py --model bert-base-uncased/ --train train.csv
"""

import argparse

from tiny_model import tiny_model

from keras_bert.tasks import TextClassification

TEXTS = ["sun and wind", "rain and wind", "sun", "rain", "wind", "sun rain", "cloud"]
LABELS = [["dry", "windy"], ["wet", "windy"], ["dry"], ["wet"], ["windy"]]
LABELS += [["dry", "wet"], []]

parser = argparse.ArgumentParser()
parser.add_argument("--model", help="a checkpoint")
parser.add_argument("--train", help="a table with the columns text and label")
parser.add_argument("--separator", default="|", help="between the labels of a row")
args = parser.parse_args()

task = TextClassification.from_pretrained(args.model or tiny_model(TEXTS))
# A model with random weights needs longer than a pretrained one.
settings = {} if args.model else {"epochs": 100, "batch_size": 4, "learning_rate": 5e-3}
if args.train:
    task.fit(args.train, label_separator=args.separator, dev=0.1, **settings)
else:
    task.fit(TEXTS, LABELS, **settings)
    print(task.evaluate(TEXTS, LABELS))
for answer in task.predict(["rain and wind", "sun"]):
    print(answer["labels"], [round(p, 2) for p in answer["probabilities"]])
