"""Answers questions from a text: trains on a few, scores, and asks one.

    python examples/question_answering.py --model hf://google-bert/bert-base-uncased
    python examples/question_answering.py --model DIR --train train-v2.0.json \
        --dev dev-v2.0.json --epochs 2
"""

import argparse

from keras_bert.tasks import QuestionAnswering

TEXT = "Ada Lovelace wrote the first program in 1843. She lived in London."
QUESTIONS = {
    "Who wrote the first program?": "Ada Lovelace",
    "When was the first program written?": "1843",
    "Where did Ada live?": "London",
    "Who built the first computer?": None,  # the text does not say
}


def item(question: str, answer: str | None) -> dict:
    """Returns a question in the form of SQuAD."""
    places = [{"text": answer, "answer_start": TEXT.index(answer)}] if answer else []
    return {"question": question, "context": TEXT, "answers": places}


parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True, help="a checkpoint")
parser.add_argument("--train", help="a file of SQuAD 1.1 or 2.0")
parser.add_argument("--dev", help="another")
parser.add_argument("--epochs", type=float, default=30)
args = parser.parse_args()

few = [item(question, answer) for question, answer in QUESTIONS.items()]
task = QuestionAnswering.from_pretrained(args.model)
task.fit(args.train or few, epochs=args.epochs, batch_size=8)
print(task.evaluate(args.dev or few))
answer = task.predict(few[:1])[0]
print(answer)
