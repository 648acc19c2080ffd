import tensorflow as tf
from transformers import BertTokenizer, TFBertModel


class Classifier(tf.keras.Model):
    def __init__(self, name):
        super().__init__()
        self.bert = TFBertModel.from_pretrained(name)
        self.dropout = tf.keras.layers.Dropout(0.1)
        self.dense = tf.keras.layers.Dense(2, kernel_initializer="ones")

    def call(self, inputs, training=False):
        ids, mask, types = inputs
        pooled = self.bert(
            ids, attention_mask=mask, token_type_ids=types, training=training
        )[1]
        return self.dense(self.dropout(pooled, training=training))


tokenizer = BertTokenizer.from_pretrained("bert-base-uncased")
ids, masks, types = [], [], []
for first, second in [("is it good", "yes it is"), ("why", "no one was there")]:
    encoded = tokenizer.encode_plus(
        first,
        second,
        add_special_tokens=True,
        max_length=16,
        padding="max_length",
        truncation=True,
        return_attention_mask=True,
        return_token_type_ids=True,
    )
    ids.append(encoded["input_ids"])
    masks.append(encoded["attention_mask"])
    types.append(encoded["token_type_ids"])

model = Classifier("bert-base-uncased")
outputs = model([tf.constant(ids), tf.constant(masks), tf.constant(types)])
result = {"logits": outputs.numpy(), "ids": ids, "types": types}
