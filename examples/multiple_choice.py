"""Chooses the ending that goes best with a text.

python examples/multiple_choice.py
python examples/multiple_choice.py --model bert-base-uncased/ \
    --train swag/train.csv --dev swag/val.csv
"""

import argparse

from tiny_model import tiny_model

from keras_bert.tasks import MultipleChoice

STORIES = [
    ("it rains", ["she gets wet", "she sleeps"], 0),
    ("the kettle boils", ["Ada plants a tree", "Ada makes tea"], 1),
    ("the train has left", ["she is late", "it is blue"], 0),
    ("the lamp is broken", ["the sea is calm", "Ada buys another"], 1),
]

parser = argparse.ArgumentParser()
parser.add_argument("--model", help="a checkpoint")
parser.add_argument("--train", help="a file with the columns of SWAG, or JSON lines")
parser.add_argument("--dev", help="another")
args = parser.parse_args()

data = [{"text": t, "choices": c, "label": label} for t, c, label in STORIES]
words = [text for story, endings, _ in STORIES for text in (story, *endings)]
task = MultipleChoice.from_pretrained(args.model or tiny_model(words))
# A model with random weights needs longer than a pretrained one.
settings = {} if args.model else {"epochs": 60, "batch_size": 4, "learning_rate": 5e-3}
task.fit(args.train or data, dev=args.dev, **settings)
print(task.evaluate(args.dev or data))
print(task.predict(data[:1])[0])
