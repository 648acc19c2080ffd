"""Goes on pretraining on the texts of a domain, then fine-tunes on its labels.

python examples/continued_pretraining.py
python examples/continued_pretraining.py --model bert-base-uncased/ \
    --texts domain.txt --train train.csv --output adapted/
"""

import argparse
from pathlib import Path
from tempfile import mkdtemp

from tiny_model import tiny_model

from keras_bert.tasks import MaskedLanguageModel, TextClassification

TEXTS = ["the heart beats fast", "the heart beats slow", "the lung is clear"]
TEXTS += ["the lung is full", "the heart is large", "the lung is large"]
LABELS = ["heart", "heart", "lung", "lung", "heart", "lung"]

parser = argparse.ArgumentParser()
parser.add_argument("--model", help="a checkpoint")
parser.add_argument("--texts", help="a file with a text per line")
parser.add_argument("--train", help="a table with the columns text and label")
parser.add_argument("--output", help="a folder for the adapted model")
args = parser.parse_args()

# A model with random weights needs longer than a pretrained one.
settings = {} if args.model else {"epochs": 40, "batch_size": 4, "learning_rate": 5e-3}
adapted = Path(args.output or mkdtemp()) / "mlm"
language = MaskedLanguageModel.from_pretrained(args.model or tiny_model(TEXTS))
print(language.evaluate(args.texts or TEXTS))
language.fit(args.texts or TEXTS, **settings)
print(language.evaluate(args.texts or TEXTS))
language.save(adapted)
classifier = TextClassification.from_pretrained(adapted)
labeled = [args.train] if args.train else [TEXTS, LABELS]
classifier.fit(*labeled, **settings)
print(classifier.predict(["the heart is slow"])[0])
