import tensorflow as tf
from transformers import BertTokenizer, TFBertForNextSentencePrediction

tokenizer = BertTokenizer.from_pretrained("bert-base-uncased")
model = TFBertForNextSentencePrediction.from_pretrained("bert-base-uncased")
prompt = "in berlin, it was good."
next_sentence = "the story is a film."
encoding = tokenizer(prompt, next_sentence, return_tensors="tf")
logits = model(
    encoding["input_ids"],
    token_type_ids=encoding["token_type_ids"],
    attention_mask=encoding["attention_mask"],
)[0]
result = {
    "logits": logits.numpy(),
    "follows": bool(logits[0, 0] < logits[0, 1]),
    "probabilities": tf.nn.softmax(logits, axis=1)[0].numpy(),
}
