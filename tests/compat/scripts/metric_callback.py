import numpy as np
import tensorflow as tf
from transformers import (
    AutoTokenizer,
    KerasMetricCallback,
    TFAutoModelForSequenceClassification,
)

texts = ["good film", "bad film", "a very good story", "a very bad story"]
labels = [1, 0, 1, 0]
tokenizer = AutoTokenizer.from_pretrained("my-classifier")
rows = [
    {**tokenizer(text, max_length=8, padding="max_length"), "label": label}
    for text, label in zip(texts, labels, strict=True)
]
model = TFAutoModelForSequenceClassification.from_pretrained("my-classifier")
batches = model.prepare_tf_dataset(rows, batch_size=2, shuffle=False)
seen = []


def compute_metrics(predictions):
    logits, labels = predictions
    seen.append(np.array(logits))
    return {"right": float(np.mean(np.argmax(logits, axis=1) == labels))}


model.compile(optimizer=tf.keras.optimizers.SGD(0.0))
callback = KerasMetricCallback(metric_fn=compute_metrics, eval_dataset=batches)
history = model.fit(batches, epochs=1, callbacks=[callback], verbose=0)
result = {"logits": seen[0], "right": history.history["right"][0]}
