import tensorflow as tf
from transformers import BertTokenizer, TFBertForSequenceClassification

tokenizer = BertTokenizer.from_pretrained("my-classifier", do_lower_case=True)
model = TFBertForSequenceClassification.from_pretrained("my-classifier")

texts = ["The movie was great!", "It was a total waste of time.", "Okay, I guess..."]
answers = []
for text in texts:
    inputs = tokenizer(text, return_tensors="tf")
    logits = model(inputs).logits
    predicted = int(tf.math.argmax(logits, axis=-1)[0])
    answers.append(model.config.id2label[predicted])

inputs = tokenizer(texts, padding=True, return_tensors="tf")
inputs["labels"] = tf.constant([0, 1, 2])
outputs = model(inputs)
probabilities = tf.nn.softmax(outputs.logits, axis=-1)
result = {
    "answers": answers,
    "probabilities": probabilities.numpy(),
    "loss": float(tf.reduce_mean(outputs.loss)),
}
