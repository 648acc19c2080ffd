from transformers import pipeline

classifier = pipeline("sentiment-analysis", model="my-classifier")
answers = classifier(["The movie was great!", "It was a total waste of time."])

ner = pipeline("ner", model="my-ner", aggregation_strategy="simple")
entities = ner("Angela lives in Berlin.")

unmask = pipeline("fill-mask", model="bert-base-uncased", top_k=3)
guesses = unmask("a very [MASK] story in berlin.")

features = pipeline("feature-extraction", model="bert-base-uncased")
vectors = features("a good film")

result = {
    "labels": [answer["label"] for answer in answers],
    "scores": [round(answer["score"], 4) for answer in answers],
    "entities": [
        (e["entity_group"], e["word"], e["start"], e["end"]) for e in entities
    ],
    "words": [guess["token_str"] for guess in guesses],
    "sequences": [guess["sequence"] for guess in guesses],
    "shape": (len(vectors), len(vectors[0]), len(vectors[0][0])),
    "first": round(vectors[0][0][0], 3),
}
