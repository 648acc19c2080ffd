"""Fine-tunes a classifier of reviews: SST-2, or a few sentences without its files.

python examples/sst2.py
python examples/sst2.py --model bert-base-uncased/ --data glue_data/SST-2
"""

import argparse

from tiny_model import tiny_model

from keras_bert.tasks import Example, TextClassification, read_glue

GOOD = ["a fine film", "a moving story", "funny and fine", "a story so moving"]
DULL = ["a dull film", "a long story", "long and dull", "a story so long"]

parser = argparse.ArgumentParser()
parser.add_argument("--model", help="a checkpoint")
parser.add_argument("--data", help="the folder of SST-2")
args = parser.parse_args()

if args.data:
    train, dev = (read_glue(args.data, "sst2", split) for split in ("train", "dev"))
else:
    train = [Example(text, label="1") for text in GOOD]
    train += [Example(text, label="0") for text in DULL]
    dev = train
task = TextClassification.from_pretrained(args.model or tiny_model(GOOD + DULL))
# A model with random weights needs longer than a pretrained one.
settings = {} if args.model else {"epochs": 40, "batch_size": 4, "learning_rate": 5e-3}
task.fit(train, dev=dev, **settings)
print(task.evaluate(dev))
print(task.predict(["a fine and moving film"])[0])
