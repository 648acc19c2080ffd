"""Distills a fine-tuned classifier into a model with half of its layers.

    python examples/distillation.py --teacher runs/sst2/model --train train.tsv \
        --dev dev.tsv --epochs 3
"""

import argparse

from tiny_model import tiny_model

from keras_bert.tasks import TextClassification
from keras_bert.training.distillation import student_of

TEXTS = ["a fine film", "dull and slow", "fine acting", "slow film", "dull"] * 4
LABELS = ["good", "bad", "good", "bad", "bad"] * 4

parser = argparse.ArgumentParser()
parser.add_argument("--teacher", help="a fine-tuned classifier; by default a tiny one")
parser.add_argument("--train", help="a table with text and label")
parser.add_argument("--dev", help="another, to compare both on")
parser.add_argument("--epochs", type=float, default=9)
args = parser.parse_args()

data = (args.train,) if args.train else (TEXTS, LABELS)
settings = {"epochs": args.epochs, "learning_rate": 5e-5 if args.train else 1e-2}
if args.teacher:
    teacher = TextClassification.load(args.teacher)
else:
    teacher = TextClassification.load(tiny_model(TEXTS)).fit(*data, **settings)

layers = range(0, teacher.config.num_hidden_layers, 2)
student = TextClassification(student_of(teacher.model, layers), teacher.tokenizer)
learn = {"temperature": 2.0, "teacher_weight": 0.7, "hidden_weight": 1.0}
student.fit(*data, teacher=teacher, distillation=learn, **settings)
for name, task in ("teacher", teacher), ("student", student):
    scores = task.evaluate(*((args.dev,) if args.dev else data))
    print(f"{name}: {task.model.count_params():,} weights, {scores}")
