import numpy as np
import tensorflow as tf
from transformers import BertTokenizer, TFBertModel

tokenizer = BertTokenizer.from_pretrained("bert-base-uncased")
model = TFBertModel.from_pretrained("bert-base-uncased", output_hidden_states=True)
ids = tokenizer.encode("Angela lives in Berlin", add_special_tokens=True)
input_ids = tf.constant(ids)[None, :]
outputs = model(input_ids)
last_hidden_states, hidden_states = outputs[0], outputs[2]
word = np.sum([layer.numpy()[0, 2] for layer in hidden_states[-2:]], axis=0)
result = {
    "shape": tuple(last_hidden_states.shape),
    "layers": len(hidden_states),
    "word": word,
    "cls": outputs.last_hidden_state[:, 0, :].numpy(),
    "tokens": tokenizer.tokenize("Angela lives in Berlin"),
}
