"""Chooses the best ending of a story: trains on a few, scores, and asks one.

    python examples/multiple_choice.py --model hf://google-bert/bert-base-uncased
    python examples/multiple_choice.py --model DIR --train swag/train.csv \
        --dev swag/val.csv --epochs 3
"""

import argparse

from keras_bert.tasks import MultipleChoice

STORIES = [
    ("It rains, and Ada has no umbrella.", ["She gets wet.", "She sleeps."], 0),
    ("The kettle boils.", ["Ada plants a tree.", "Ada makes tea."], 1),
    ("The train leaves at nine; it is ten.", ["She misses it.", "It is blue."], 0),
    ("The lamp is broken.", ["The sea is calm.", "Ada buys another."], 1),
]

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True, help="a checkpoint")
parser.add_argument("--train", help="a file with the columns of SWAG, or JSON lines")
parser.add_argument("--dev", help="another")
parser.add_argument("--epochs", type=float, default=30)
args = parser.parse_args()

few = [{"text": t, "choices": c, "label": label} for t, c, label in STORIES]
task = MultipleChoice.from_pretrained(args.model)
task.fit(args.train or few, epochs=args.epochs, batch_size=4)
print(task.evaluate(args.dev or few))
answer = task.predict(few[:1])[0]
print(answer)
