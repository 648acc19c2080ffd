"""Tags the words of sentences, and finds the names in them.

python examples/ner.py
python examples/ner.py --model bert-base-cased/ --train train.conll --dev dev.conll
"""

import argparse

from tiny_model import tiny_model

from keras_bert.tasks import TokenClassification

SENTENCES = ["Ada Lovelace lived in London", "Alan Turing lived in Wilmslow"]
SENTENCES += ["London is large", "Turing met Ada", "she lived here"]
TAGS = ["B-PER I-PER O O B-LOC", "B-PER I-PER O O B-LOC"]
TAGS += ["B-LOC O O", "B-PER O B-PER", "O O O"]

parser = argparse.ArgumentParser()
parser.add_argument("--model", help="a checkpoint")
parser.add_argument("--train", help="a file of words and tags in columns")
parser.add_argument("--dev", help="another")
args = parser.parse_args()

task = TokenClassification.from_pretrained(args.model or tiny_model(SENTENCES))
# A model with random weights needs longer than a pretrained one.
settings = {} if args.model else {"epochs": 40, "batch_size": 4, "learning_rate": 5e-3}
if args.train:
    task.fit(args.train, dev=args.dev, **settings)
else:
    words, tags = ([text.split() for text in texts] for texts in (SENTENCES, TAGS))
    task.fit(words, tags, **settings)
    print(task.evaluate(words, tags))
print(task.predict(["Ada Turing lived in London"])[0])
