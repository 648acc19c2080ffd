import numpy as np
import tensorflow as tf
from transformers import BertTokenizer, TFBertForTokenClassification, create_optimizer

words = [["Angela", "lives", "in", "Berlin"], ["Paris", "is", "lovely"]]
tags = [[1, 0, 0, 2], [2, 0, 0]]

tokenizer = BertTokenizer.from_pretrained("my-ner")
batch = tokenizer(
    words,
    is_split_into_words=True,
    padding="max_length",
    max_length=12,
    truncation=True,
)
labels = []
for row, tag in enumerate(tags):
    ids, last = [], None
    for word in batch.word_ids(row):
        ids.append(-100 if word is None or word == last else tag[word])
        last = word
    labels.append(ids)
features = {name: np.array(batch[name]) for name in ("input_ids", "attention_mask")}
dataset = tf.data.Dataset.from_tensor_slices({**features, "labels": labels}).batch(2)

model = TFBertForTokenClassification.from_pretrained("my-ner")
optimizer, schedule = create_optimizer(
    init_lr=1e-3, num_train_steps=8, num_warmup_steps=2, weight_decay_rate=0.01
)
model.compile(optimizer=optimizer)
history = model.fit(dataset, epochs=4, verbose=0)
result = {
    "labels": labels,
    "loss": np.array(history.history["loss"]),
    "rates": [round(float(schedule(step)), 8) for step in (0, 1, 2, 5, 8)],
}
