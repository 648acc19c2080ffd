"""Requests of bert-as-service and of OpenAI's embeddings API, over HTTP."""

import base64
import json
import urllib.error
import urllib.request

import numpy as np
import pytest

from keras_bert import SentenceEncoder
from keras_bert.sentence_recipe import SentenceRecipe
from keras_bert.serving.export import export
from keras_bert.serving.server import Server
from tests.bounds import assert_close
from tests.serving.cases import make_model

TEXTS = ["a good film", "", "bad"]


@pytest.fixture(scope="module")
def encoder(tokenizer):
    recipe = SentenceRecipe.of("mean", normalize=True)
    made = SentenceEncoder.of(make_model("encoder"), recipe)
    made.tokenizer = tokenizer
    return made


@pytest.fixture(scope="module")
def expected(encoder):
    return np.array(encoder(TEXTS)["embeddings"])


@pytest.fixture(scope="module")
def post(directory, encoder, tokenizer, tmp_path_factory):
    """Sends JSON to a server of a model of vectors and a classifier."""
    path = tmp_path_factory.mktemp("vectors") / "vectors"
    export(encoder, path, tokenizer, max_length=13)
    with Server({"vectors": path, "classes": directory}) as server:

        def send(path, body):
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            request = urllib.request.Request(server.url + path, data)
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    return response.status, json.load(response)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, json.load(error)

        yield send


def test_bert_as_service(post, encoder, expected):
    texts = [TEXTS[0], TEXTS[2]]
    status, answer = post("/encode", {"id": 123, "texts": texts, "is_tokenized": False})
    assert (status, answer["status"], answer["id"]) == (200, 200, 123)
    assert answer.keys() == {"id", "result", "status"}
    assert_close(answer["result"], expected[[0, 2]])
    tokens = [encoder.tokenizer.tokenize(text) for text in texts]
    body = {"id": "x", "texts": tokens, "is_tokenized": True}
    assert_close(post("/encode", body)[1]["result"], expected[[0, 2]])


@pytest.mark.parametrize(
    "body, message",
    [
        ({"id": 1}, "must be a list"),
        ({"id": 1, "texts": "a"}, "must be a list"),
        ({"id": 1, "texts": ["a", " "]}, "element 1"),
        ({"id": 1, "texts": ["a", 3]}, "element 1 is '3'"),
        ({"id": 1, "texts": ["a"], "is_tokenized": True}, "list of tokens"),
        (b"{", "JSON"),
    ],
)
def test_bert_as_service_refuses(post, body, message):
    status, answer = post("/encode", body)
    assert (status, answer["status"], answer["type"]) == (400, 400, "ValueError")
    assert message in answer["description"]


def test_openai(post, encoder, expected):
    status, answer = post("/v1/embeddings", {"model": "vectors", "input": TEXTS})
    assert status == 200
    assert (answer["object"], answer["model"]) == ("list", "vectors")
    kinds = [(item["object"], item["index"]) for item in answer["data"]]
    assert kinds == [("embedding", n) for n in range(3)]
    assert_close([item["embedding"] for item in answer["data"]], expected)
    tokens = int(encoder.tokenizer.encode_batch(TEXTS)["attention_mask"].sum())
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    body = {"model": "vectors", "input": TEXTS[0], "encoding_format": "base64"}
    (item,) = post("/v1/embeddings", {**body, "user": "u", "dimensions": 5})[1]["data"]
    cut = np.frombuffer(base64.b64decode(item["embedding"]), "<f4")
    assert_close(cut, expected[0, :5] / np.linalg.norm(expected[0, :5]))


@pytest.mark.parametrize(
    "changes, status, param, message",
    [
        ({"model": "gpt"}, 404, "model", "vectors, classes"),
        ({"model": None}, 400, "model", "must provide"),
        ({"model": "classes"}, 400, None, "makes vectors"),
        ({"input": []}, 400, "input", "not empty"),
        ({"input": [[1, 2]]}, 400, "input", "another tokenizer"),
        ({"input": "\ud83d"}, 400, None, "surrogate"),
        ({"dimensions": 0}, 400, "dimensions", "from 1 to"),
        ({"dimensions": True}, 400, "dimensions", "from 1 to"),
        ({"encoding_format": "hex"}, 400, "encoding_format", "float, base64"),
        ({"encoding_format": []}, 400, "encoding_format", "float, base64"),
    ],
)
def test_openai_refuses(post, changes, status, param, message):
    body = {"model": "vectors", "input": "a", **changes}
    found, answer = post("/v1/embeddings", body)
    assert found == status and answer.keys() == {"error"}
    error = answer["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert (error["code"] == "model_not_found") == (status == 404)
    assert message in error["message"]
