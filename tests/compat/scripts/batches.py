import numpy as np
from transformers import (
    AutoTokenizer,
    DataCollatorWithPadding,
    TFAutoModelForSequenceClassification,
)

tokenizer = AutoTokenizer.from_pretrained("my-classifier")
model = TFAutoModelForSequenceClassification.from_pretrained("my-classifier")


def tokenize(example):
    return tokenizer(example["text"], example["other"], truncation=True)


examples = [
    {"text": "good", "other": "a very good film", "label": 2},
    {"text": "it was bad", "other": "no", "label": 0},
    {"text": "berlin", "other": "paris and angela", "label": 1},
]
rows = [{**tokenize(e), "label": e["label"]} for e in examples]
collator = DataCollatorWithPadding(tokenizer=tokenizer, return_tensors="np")
batch = collator([dict(row) for row in rows])
labels = batch.pop("labels")
outputs = model(dict(batch), output_attentions=True)
result = {
    "labels": labels.tolist(),
    "types": batch["token_type_ids"].tolist(),
    "logits": np.array(outputs.logits),
    "attention": np.array(outputs.attentions[-1]),
}
