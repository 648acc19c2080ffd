"""Tasks, and what they are made of: labeled data, encoding, answers, scores."""

from keras_bert.tasks.examples import Example, filled, iter_examples, read_examples
from keras_bert.tasks.glue_files import read_glue
from keras_bert.tasks.masked_language_model import MaskedLanguageModel
from keras_bert.tasks.metrics import score
from keras_bert.tasks.multiple_choice import MultipleChoice
from keras_bert.tasks.question_answering import Answers, find_answers
from keras_bert.tasks.question_task import QuestionAnswering
from keras_bert.tasks.question_windows import Windows, encode_questions
from keras_bert.tasks.questions import Passage, Question, read_squad
from keras_bert.tasks.sentence_embedding import SentenceEmbedding, SentenceSimilarity
from keras_bert.tasks.tables import Table
from keras_bert.tasks.task import Task
from keras_bert.tasks.text_classification import (
    dataset,
    encode,
    label_counts,
    label_names,
    write_predictions,
)
from keras_bert.tasks.text_tasks import TextClassification, TextRegression
from keras_bert.tasks.token_classification import TokenClassification
from keras_bert.tasks.vector_index import VectorIndex

# The tasks by name, as `keras-bert finetune --task` takes it.
TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (
        TextClassification,
        TextRegression,
        TokenClassification,
        QuestionAnswering,
        MultipleChoice,
        SentenceSimilarity,
        SentenceEmbedding,
        MaskedLanguageModel,
    )
}

__all__ = [
    "TASKS",
    "Answers",
    "Example",
    "MaskedLanguageModel",
    "MultipleChoice",
    "Passage",
    "Question",
    "QuestionAnswering",
    "SentenceEmbedding",
    "SentenceSimilarity",
    "Table",
    "Task",
    "TextClassification",
    "TextRegression",
    "TokenClassification",
    "VectorIndex",
    "Windows",
    "dataset",
    "encode",
    "encode_questions",
    "filled",
    "find_answers",
    "iter_examples",
    "label_counts",
    "label_names",
    "read_examples",
    "read_glue",
    "read_squad",
    "score",
    "write_predictions",
]
