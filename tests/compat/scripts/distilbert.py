import numpy as np
import tensorflow as tf
from transformers import DistilBertTokenizerFast, TFDistilBertForSequenceClassification

tokenizer = DistilBertTokenizerFast.from_pretrained("my-distilbert")
model = TFDistilBertForSequenceClassification.from_pretrained("my-distilbert")
texts = ["good film", "a very bad story", "angela was there"]
encodings = tokenizer(texts, truncation=True, padding=True)
dataset = tf.data.Dataset.from_tensor_slices(dict(encodings)).batch(2)
outputs = model.predict(dataset, verbose=0)
result = {
    "keys": list(encodings.keys()),
    "logits": outputs["logits"],
    "best": np.argmax(outputs.logits, axis=-1).tolist(),
}
