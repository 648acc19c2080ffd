import numpy as np
import tensorflow as tf
from transformers import BertTokenizer, TFBertForMaskedLM

tokenizer = BertTokenizer.from_pretrained("bert-base-uncased")
model = TFBertForMaskedLM.from_pretrained("bert-base-uncased")

inputs = tokenizer("a very [MASK] story in berlin", return_tensors="tf")
logits = model(**inputs).logits
mask_index = tf.where((inputs.input_ids == tokenizer.mask_token_id)[0])
selected = tf.gather_nd(logits[0], indices=mask_index)
top = tf.math.top_k(selected, k=5)
labels = tokenizer("a very good story in berlin", return_tensors="tf")["input_ids"]
labels = tf.where(inputs.input_ids == tokenizer.mask_token_id, labels, -100)
result = {
    "words": [tokenizer.decode([i]) for i in top.indices[0].numpy()],
    "scores": top.values.numpy(),
    "loss": round(float(np.mean(model(**inputs, labels=labels).loss)), 4),
}
