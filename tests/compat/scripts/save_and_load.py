import os

import numpy as np
from transformers import AutoConfig, BertTokenizer, TFBertForSequenceClassification

tokenizer = BertTokenizer.from_pretrained("bert-base-uncased")
config = AutoConfig.from_pretrained("my-classifier")
model = TFBertForSequenceClassification.from_pretrained("my-classifier", config=config)
for _ in range(2):  # as a notebook cell that is run again
    model.save_pretrained("./saved")
    tokenizer.save_pretrained("./saved")
again = TFBertForSequenceClassification.from_pretrained("./saved")
reread = BertTokenizer.from_pretrained("./saved")
ids = reread("A very good film!", return_tensors="tf")
result = {
    "same": bool(np.all(model(ids)[0] == again(ids)[0])),
    "logits": again(ids)[0].numpy(),
    "config": os.path.exists("saved/config.json"),
    "labels": [again.config.id2label[i] for i in range(again.config.num_labels)],
    "ids": reread.encode("A very good film!", max_length=5, truncation=True),
}
