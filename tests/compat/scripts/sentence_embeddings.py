import tensorflow as tf
from transformers import AutoTokenizer, TFAutoModel

sentences = [
    "This is an example sentence",
    "Each sentence is converted",
    "a café in 北京",
]


def mean_pooling(model_output, attention_mask):
    token_embeddings = model_output[0]
    mask = tf.cast(tf.expand_dims(attention_mask, -1), token_embeddings.dtype)
    summed = tf.reduce_sum(token_embeddings * mask, axis=1)
    return summed / tf.clip_by_value(tf.reduce_sum(mask, axis=1), 1e-9, 1e9)


tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
model = TFAutoModel.from_pretrained("bert-base-uncased")
encoded = tokenizer(sentences, padding=True, truncation=True, return_tensors="tf")
embeddings = mean_pooling(model(**encoded), encoded["attention_mask"])
embeddings = tf.math.l2_normalize(embeddings, axis=1)
result = {"embeddings": embeddings.numpy(), "ids": encoded["input_ids"].numpy()}
