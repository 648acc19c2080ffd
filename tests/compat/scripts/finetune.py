import numpy as np
import tensorflow as tf
from transformers import BertTokenizerFast, TFBertForSequenceClassification

texts = ["good film", "bad film", "a very good story", "a very bad story"] * 4
labels = [1, 0, 1, 0] * 4

tokenizer = BertTokenizerFast.from_pretrained("bert-base-uncased")
encodings = tokenizer(texts, truncation=True, padding=True, max_length=16)
dataset = tf.data.Dataset.from_tensor_slices((dict(encodings), labels))

model = TFBertForSequenceClassification.from_pretrained("my-classifier")
optimizer = tf.keras.optimizers.Adam(learning_rate=5e-4)
loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
history = model.fit(dataset.batch(4), epochs=2, verbose=0)
predictions = model.predict(dataset.batch(4), verbose=0)
result = {
    "loss": np.array(history.history["loss"]),
    "logits": predictions.logits,
    "classes": np.argmax(predictions[0], axis=1).tolist(),
}
