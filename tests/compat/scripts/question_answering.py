import tensorflow as tf
from transformers import AutoTokenizer, TFAutoModelForQuestionAnswering

tokenizer = AutoTokenizer.from_pretrained("my-qa")
model = TFAutoModelForQuestionAnswering.from_pretrained("my-qa")

question, text = (
    "Who was there?",
    "Angela lives in Berlin. She was there with a good film.",
)
inputs = tokenizer(question, text, return_tensors="tf")
outputs = model(**inputs)
start = int(tf.math.argmax(outputs.start_logits, axis=-1)[0])
end = int(tf.math.argmax(outputs.end_logits, axis=-1)[0])
tokens = inputs.input_ids[0, start : end + 1]

target_start, target_end = tf.constant([3]), tf.constant([5])
outputs = model(**inputs, start_positions=target_start, end_positions=target_end)
result = {
    "answer": tokenizer.decode(tokens),
    "loss": float(tf.math.reduce_mean(outputs.loss)),
    "start": outputs.start_logits.numpy(),
    "tokens": tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].numpy().tolist()),
}
