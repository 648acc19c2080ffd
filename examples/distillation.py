"""Distill a fine-tuned classifier into a model with half of its layers.

python examples/distillation.py --teacher runs/sst2/model --train train.tsv
"""

import argparse

from keras_bert.tasks import TextClassification
from keras_bert.training.distillation import student_of

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--teacher", required=True, help="a fine-tuned classifier")
parser.add_argument("--train", required=True, help="a table with text and label")
parser.add_argument("--dev", help="another one, to compare both on")
parser.add_argument("--output", default="runs/student")
parser.add_argument("--epochs", type=float, default=3)
args = parser.parse_args()

teacher = TextClassification.load(args.teacher)
layers = range(0, teacher.config.num_hidden_layers, 2)
student = TextClassification(student_of(teacher.model, layers), teacher.tokenizer)
student.fit(
    args.train,
    dev=args.dev,
    teacher=teacher,
    distillation={"temperature": 2.0, "teacher_weight": 0.7, "hidden_weight": 1.0},
    epochs=args.epochs,
    output=args.output,
)
for name, task in ("teacher", teacher), ("student", student):
    size = task.model.count_params()
    print(f"{name}: {size:,} weights, {task.evaluate(args.dev or args.train)}")
