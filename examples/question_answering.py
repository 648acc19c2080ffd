"""Answers questions from a text, or says that it has no answer.

python examples/question_answering.py
python examples/question_answering.py --model bert-base-uncased/ \
    --train train-v2.0.json --dev dev-v2.0.json
"""

import argparse

from tiny_model import tiny_model

from keras_bert.tasks import QuestionAnswering

TEXT = "Ada Lovelace wrote the first program in 1843 and lived in London"
QUESTIONS = {
    "who wrote the first program": "Ada Lovelace",
    "when was the first program": "1843",
    "where is Ada": "London",
    "who was the first in London": None,  # the text does not say
}

parser = argparse.ArgumentParser()
parser.add_argument("--model", help="a checkpoint")
parser.add_argument("--train", help="a file of SQuAD 1.1 or 2.0")
parser.add_argument("--dev", help="another")
args = parser.parse_args()

data = []
for question, text in QUESTIONS.items():
    answers = [{"text": text, "answer_start": TEXT.index(text)}] if text else []
    data.append({"question": question, "context": TEXT, "answers": answers})
model = args.model or tiny_model([TEXT, *QUESTIONS])
task = QuestionAnswering.from_pretrained(model)
# A model with random weights needs longer than a pretrained one.
settings = {} if args.model else {"epochs": 150, "batch_size": 4, "learning_rate": 5e-3}
task.fit(args.train or data, dev=args.dev, **settings)
print(task.evaluate(args.dev or data))
print(task.predict(data[:1])[0])
