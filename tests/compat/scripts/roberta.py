import numpy as np
import tensorflow as tf
from transformers import (
    AutoTokenizer,
    RobertaTokenizer,
    TFRobertaForMaskedLM,
    TFRobertaForSequenceClassification,
    TFXLMRobertaModel,
    pipeline,
)

tokenizer = RobertaTokenizer.from_pretrained("my-roberta")
model = TFRobertaForSequenceClassification.from_pretrained("my-roberta")
texts = ["The cat sat on the mat.", "He runs", "unaffable running dogs, 北京 😀"]
encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="tf")
logits = model(**encoded).logits
pair = tokenizer(texts[0], texts[1], return_tensors="tf")

fast = AutoTokenizer.from_pretrained("my-roberta")
filler = TFRobertaForMaskedLM.from_pretrained("my-roberta-lm")
masked = fast(f"The cat sat on the {fast.mask_token}.", return_tensors="tf")
where = int(np.where(masked["input_ids"][0] == fast.mask_token_id)[0][0])
scores = filler(masked).logits[0, where]
offsets = fast(texts[2], return_offsets_mapping=True)["offset_mapping"]

other = AutoTokenizer.from_pretrained("my-xlm-roberta")
batch = other(texts[:2], padding="max_length", max_length=12, return_tensors="tf")
states = TFXLMRobertaModel.from_pretrained("my-xlm-roberta")(batch)[0]
mask = tf.cast(batch["attention_mask"], tf.float32)[..., None]
means = tf.reduce_sum(states * mask, axis=1) / tf.reduce_sum(mask, axis=1)
classifier = pipeline("text-classification", model="my-roberta")
fill = pipeline("fill-mask", model="my-roberta-lm")
filled = fill("The dog runs <mask> the mat")
result = {
    "names": list(encoded),
    "ids": encoded["input_ids"].numpy().tolist(),
    "logits": logits.numpy(),
    "pair": model(pair).logits.numpy(),
    "tokens": tokenizer.tokenize(texts[0]),
    "texts": [
        tokenizer.decode(ids, skip_special_tokens=True) for ids in encoded["input_ids"]
    ],
    "masked": masked["input_ids"].numpy().tolist(),
    "scores": scores.numpy(),
    "offsets": [tuple(pair) for pair in offsets],
    "means": means.numpy(),
    "labels": [found["label"] for found in classifier(texts)],
    "filled": [(best["token"], best["token_str"], best["sequence"]) for best in filled],
}
