"""Conformance to TF Serving's REST API.

The checks run against the local server in this package, or, where
TFS_HOST names one, against a real server; see docs/serving.md.
"""

import base64
import http.client
import json
import logging
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_bert.errors import InputError, MissingFileError
from keras_bert.features import SERVED_INPUTS
from keras_bert.serving import Client
from keras_bert.serving.client import RequestError
from keras_bert.serving.export import export, versions
from keras_bert.serving.local_server import json_format, rest
from keras_bert.serving.local_server.errors import ServingError
from keras_bert.serving.local_server.model_store import ModelStore
from keras_bert.serving.local_server.settings import Limits, ModelConfig
from keras_bert.serving.predictor import Predictor
from keras_bert.serving.server import Server
from tests.bounds import assert_close
from tests.serving.cases import CONFIG, PAIRS, TEXTS, make_model
from tests.serving.conformance import NAME, only_local, served


@pytest.fixture(scope="module")
def url(directory):
    with served(directory, grpc=False) as found:
        yield found["rest"]


@pytest.fixture(scope="module")
def call(url):
    """Sends a request to the model: (status, JSON of the answer)."""

    def send(suffix, body=None, name=NAME, method=None):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        data = data.encode() if isinstance(data, str) else data
        request = urllib.request.Request(
            f"{url}/v1/models/{name}{suffix}", data, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                assert response.headers["Content-Type"] == "application/json"
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    return send


@pytest.fixture(scope="module")
def expected(model, tokenizer):
    """Logits of the Keras model itself, by text."""
    return model(tokenizer(TEXTS, max_length=13)).numpy()


def ids_of(length=5, batch=2):
    rng = np.random.default_rng(batch * 100 + length)
    shape = (batch, length)
    return {
        "input_ids": rng.integers(1, CONFIG.vocab_size, shape).tolist(),
        "attention_mask": np.ones(shape, int).tolist(),
        "token_type_ids": rng.integers(0, 2, shape).tolist(),
    }


def rows_of(columns):
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


# === Status and metadata ===


def test_status_is_available(call, directory):
    version = str(versions(directory)[-1])
    for suffix in ("", f"/versions/{version}"):
        status, answer = call(suffix)
        assert status == 200
        assert {
            "version": version,
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        } in answer["model_version_status"]


def test_metadata_lists_every_signature(call, directory):
    status, answer = call("/metadata")
    assert status == 200
    spec = answer["model_spec"]
    assert (spec["name"], spec["version"]) == (NAME, str(versions(directory)[-1]))
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "serve_pairs", "serve_ids", "serve_examples"} <= set(
        signatures
    )
    inputs = signatures["serve_ids"]["inputs"]
    assert set(inputs) == set(SERVED_INPUTS)
    assert {entry["dtype"] for entry in inputs.values()} == {"DT_INT32"}
    shape = signatures["serve_ids"]["outputs"]["logits"]["tensor_shape"]["dim"]
    assert [dim["size"] for dim in shape] == ["-1", "3"]
    assert signatures["serve_ids"]["method_name"] == "tensorflow/serving/predict"


# === Predict: forms and names ===


def test_rows_and_columns_hold_the_same_numbers_as_the_model(call, expected):
    bodies = {
        "bare rows": {"instances": TEXTS},
        "named rows": {"instances": [{"text": text} for text in TEXTS]},
        "bare column": {"inputs": TEXTS},
        "named column": {"inputs": {"text": TEXTS}},
        "signature": {"inputs": TEXTS, "signature_name": "serving_default"},
    }
    for form, body in bodies.items():
        status, answer = call(":predict", body)
        assert status == 200, (form, answer)
        if "instances" in body:
            assert list(answer) == ["predictions"]
            assert all(
                set(row) == {"label", "logits", "probabilities"}
                for row in answer["predictions"]
            )
            logits = [row["logits"] for row in answer["predictions"]]
        else:
            assert list(answer) == ["outputs"]
            assert set(answer["outputs"]) == {"label", "logits", "probabilities"}
            logits = answer["outputs"]["logits"]
        assert_close(logits, expected)


def test_a_single_output_has_no_name(call, model):
    columns = ids_of()
    logits = model({k: np.array(v, np.int32) for k, v in columns.items()})
    body = {"signature_name": "serve_ids", "instances": rows_of(columns)}
    status, answer = call(":predict", body)
    assert status == 200
    assert_close(answer["predictions"], logits)
    body = {"signature_name": "serve_ids", "inputs": columns}
    status, answer = call(":predict", body)
    assert status == 200
    assert_close(answer["outputs"], logits)


@pytest.mark.parametrize("batch, length", [(1, 1), (1, 23), (7, 4)])
def test_batch_and_length_are_free(call, model, batch, length):
    columns = ids_of(length, batch)
    body = {"signature_name": "serve_ids", "inputs": columns}
    logits = call(":predict", body)[1]["outputs"]
    here = model({k: np.array(v, np.int32) for k, v in columns.items()})
    assert_close(logits, here)


def test_base64_text_equals_plain_text(call):
    encoded = [{"b64": base64.b64encode(t.encode()).decode()} for t in TEXTS]
    plain = call(":predict", {"instances": TEXTS})[1]
    assert plain["predictions"][0] != plain["predictions"][1]
    assert call(":predict", {"instances": encoded})[1] == plain
    named = {"instances": [{"text": value} for value in encoded]}
    assert call(":predict", named)[1] == plain


def test_rest_equals_in_process(call, model, tokenizer):
    rows = Predictor(model, tokenizer, max_length=13)(TEXTS, PAIRS)
    instances = rows_of({"text": TEXTS, "text_pair": PAIRS})
    body = {"signature_name": "serve_pairs", "instances": instances}
    status, answer = call(":predict", body)
    assert status == 200
    for row, received in zip(rows, answer["predictions"], strict=True):
        assert received["label"] == row["label"].decode()
        for name in ("logits", "probabilities"):
            assert_close(received[name], row[name])


# === Predict: what is wrong, in TF Serving's words ===

IDS = {"signature_name": "serve_ids"}
REFUSED = {
    "nothing": ({}, "Missing 'inputs' or 'instances' key"),
    "both": ({"instances": ["a"], "inputs": ["a"]}, "one of 'inputs' or 'instances'"),
    "no rows": ({"instances": []}, "No values in 'instances' array"),
    "rows are no list": ({"instances": "a"}, "Expecting 'instances' to be an list"),
    "signature is no name": ({"signature_name": 3, "inputs": "a"}, "must be a string"),
    "unknown signature": (
        {"signature_name": "nope", "instances": ["a"]},
        'Serving signature name: "nope" not found in signature def',
    ),
    "wrong name in a row": (
        {"instances": [{"text": "a"}, {"txt": "b"}]},
        "Failed to process element: 1 key: txt of 'instances' list. Error: "
        "INVALID_ARGUMENT: JSON object: does not have named input: txt",
    ),
    "missing name in a row": (
        {**IDS, "instances": [{"input_ids": [1], "attention_mask": [1]}]},
        "keys must be equal to: attention_mask,input_ids,token_type_ids",
    ),
    "bare rows for several inputs": (
        {**IDS, "instances": [[1, 2]]},
        "instances is a plain list, but expecting list of objects",
    ),
    "bare column for several inputs": (
        {**IDS, "inputs": [[1, 2]]},
        "inputs is a plain value/list, but expecting an object",
    ),
    "missing column": (
        {**IDS, "inputs": {"input_ids": [[1]], "token_type_ids": [[0]]}},
        "Missing named input: attention_mask in 'inputs' object.",
    ),
    "object after a value": (
        {"instances": ["a", {"text": "b"}]},
        "Expecting value/list but got object at item 1 of input list",
    ),
    "value after an object": (
        {"instances": [{"text": "a"}, "b"]},
        "Expecting object but got list at item 1 of input list",
    ),
    "number for text": ({"instances": [3]}, "is not of expected type: string"),
    "null for text": ({"instances": [None]}, "Type: Null is not of expected type"),
    "fraction for an id": (
        {**IDS, "inputs": {**ids_of(1, 1), "input_ids": [[1.5]]}},
        "JSON Value: 1.5 Type: Number is not of expected type: int32",
    ),
    "id beyond 32 bits": (
        {**IDS, "inputs": {**ids_of(1, 1), "input_ids": [[1 << 31]]}},
        "Type: Number is not of expected type: int32",
    ),
    "boolean for an id": (
        {**IDS, "inputs": {**ids_of(1, 1), "input_ids": [[True]]}},
        "Type: True is not of expected type: int32",
    ),
    "ragged column": (
        {**IDS, "inputs": {**ids_of(2, 2), "input_ids": [[1, 2], [3]]}},
        "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
    ),
    "ragged rows": (
        {**IDS, "instances": rows_of(ids_of(2, 1)) + rows_of(ids_of(3, 1))},
        "Expecting tensor size: 2 but got: 3",
    ),
    "shapes of equal size": (
        {"instances": [[["a"], ["b"]], [["a", "b"]]]},
        "Expecting shape [2,1] but got: [1,2]",
    ),
    "deeper than the first": (
        {**IDS, "inputs": {**ids_of(1, 1), "input_ids": [[1], [[2]]]}},
        "Encountered list at unexpected level: 2 expected < 2",
    ),
    "not as deep as the first": (
        {**IDS, "inputs": {**ids_of(1, 1), "input_ids": [[1], 2]}},
        "found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    "bad base64": ({"instances": [{"b64": "?"}]}, "Unable to base64 decode"),
    "object for text": (
        {"inputs": {"text": [{"c64": "YQ=="}]}},
        "not formatted correctly for base64 data",
    ),
    "ids out of range": (
        {**IDS, "inputs": {**ids_of(1, 1), "input_ids": [[99]]}},
        "Expected input_ids from 0 to 36",
    ),
    "row too long": (
        {**IDS, "inputs": ids_of(24, 1)},
        "input_ids are longer than max_position_embeddings=23",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(call, case):
    body, message = REFUSED[case]
    status, answer = call(":predict", body)
    assert status == 400
    assert list(answer) == ["error"]
    assert message in answer["error"]


@pytest.mark.parametrize(
    "body, message",
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"[1]", "Is not object"),
        (b'{"instances": ["a"', "JSON Parse error: "),
        (b'{"instances": ["\xff"]}', "JSON Parse error: "),
        (b'{"instances": ["a"], "instances": ["b"]}', "the key 'instances' twice"),
    ],
)
def test_broken_json_is_told_with_its_place(call, body, message):
    status, answer = call(":predict", body, method="POST")
    assert status == 400
    assert message in answer["error"]


@pytest.mark.parametrize(
    "suffix, name, body, message",
    [
        ("", "nope", None, "Could not find any versions of model nope"),
        ("/versions/99", NAME, None, f"Could not find version 99 of model {NAME}"),
        ("/metadata", "nope", None, "Servable not found for request: Latest(nope)"),
        (
            ":predict",
            "nope",
            {"instances": ["a"]},
            "Servable not found for request: Latest(nope)",
        ),
        (
            "/versions/99:predict",
            NAME,
            {"instances": ["a"]},
            f"Servable not found for request: Specific({NAME}, 99)",
        ),
    ],
)
def test_unknown_models_and_versions_are_not_found(call, suffix, name, body, message):
    status, answer = call(suffix, body, name)
    assert (status, answer) == (404, {"error": message})


def test_an_unknown_label_is_refused(call):
    status, answer = call("/labels/stable:predict", {"instances": ["a"]})
    assert status == 400
    assert "Unrecognized servable version label: stable" in answer["error"]


def test_paths(call, directory):
    version = versions(directory)[-1]
    good = call(":predict", {"instances": TEXTS})
    assert good[0] == 200
    assert call(f"/versions/{version}:predict", {"instances": TEXTS}) == good
    assert call(":PREDICT", {"instances": TEXTS}) == good
    for suffix in (":guess", "/versions/one:predict", "/predict", ":predict/"):
        status, answer = call(suffix, {"instances": TEXTS})
        assert status == 400
        path = f"/v1/models/{NAME}{suffix}"
        assert answer["error"] == f"Malformed request: POST {path}"
    status, answer = call(":predict")
    assert status == 400
    assert answer["error"].startswith("Malformed request: GET /v1/models/")


# === Classify and Regress ===


def test_classify_pairs_labels_with_scores(call):
    rows = call(":predict", {"instances": TEXTS})[1]["predictions"]
    examples = {"examples": [{"text": text} for text in TEXTS]}
    status, answer = call(":classify", {"signature_name": "serve_examples", **examples})
    assert status == 200
    for row, pairs in zip(rows, answer["results"], strict=True):
        assert [label for label, _ in pairs] == ["bad", "fair", "good"]
        scores = [score for _, score in pairs]
        assert_close(scores, row["probabilities"])


def test_classify_takes_lists_context_and_base64(call):
    alike = [
        {"examples": [{"text": "so good"}]},
        {"examples": [{"text": ["so good"]}]},
        {"examples": [{"text": {"b64": base64.b64encode(b"so good").decode()}}]},
        {"examples": [{}], "context": {"text": "so good"}},
    ]
    answers = [
        call(":classify", {"signature_name": "serve_examples", **body})[1]
        for body in alike
    ]
    assert "results" in answers[0]
    assert all(answer == answers[0] for answer in answers)


EXAMPLES = {"signature_name": "serve_examples"}
REFUSED_EXAMPLES = {
    "none": (EXAMPLES, "key 'examples' is expected and was not found"),
    "empty": ({**EXAMPLES, "examples": []}, "'examples' value is an empty array"),
    "no list": ({**EXAMPLES, "examples": {}}, "'examples' value to be an list/array"),
    "no object": (
        {**EXAMPLES, "examples": ["a"]},
        "Example must be JSON object but got JSON String",
    ),
    "null": (
        {**EXAMPLES, "examples": [{"text": None}]},
        "Feature: text has element with unexpected JSON type: Null",
    ),
    "mixed": (
        {**EXAMPLES, "examples": [{"text": ["a", 3]}]},
        "Unexpected element type in feature: text expecting type: bytes",
    ),
    "signature": (
        {"signature_name": "nope", "examples": [{"text": "a"}]},
        "No signature was found with the name: nope",
    ),
    "not on examples": (
        {"signature_name": "serve_ids", "examples": [{"text": "a"}]},
        "Expected one input Tensor.",
    ),
    "many outputs": (
        {"examples": [{"text": "a"}]},
        "Expected one or two output Tensors, found 3",
    ),
    "no text": ({**EXAMPLES, "examples": [{"txt": "a"}]}, "text"),
}


@pytest.mark.parametrize("case", REFUSED_EXAMPLES)
def test_refused_examples(call, case):
    body, message = REFUSED_EXAMPLES[case]
    status, answer = call(":classify", body)
    assert status == 400
    assert message in answer["error"]


def test_regress_needs_a_regression(call):
    status, answer = call(":regress", {**EXAMPLES, "examples": [{"text": "a"}]})
    assert status == 400
    assert answer["error"] == "Expected one output Tensor."


@only_local
def test_regress_gives_one_value_per_example(tmp_path, tokenizer):
    export(make_model("score"), tmp_path, tokenizer)
    with Server({"score": tmp_path}) as server:
        client = Client(server.url, "score")
        predictions = client.predict(TEXTS)
        examples = [{"text": text} for text in TEXTS]
        body = {"instances": TEXTS}
        bare = client.transport.request(":predict", body)["predictions"]
        body = {**EXAMPLES, "examples": examples}
        answer = client.transport.request(":regress", body)
    assert_close(answer["results"], bare)
    assert len(set(bare)) > 1  # one bare number per row: a single output
    assert predictions == [{"scores": score} for score in bare]


# === The local server: versions, limits, shutdown ===


@only_local
def test_versions_are_chosen_by_number(tmp_path):
    directory = tmp_path / "model"
    first = make_model("classes")
    export(first, directory)
    weight = first.get_layer("classifier").kernel
    weight.assign(-weight)
    export(first, directory)
    body = {"inputs": ids_of()}
    with Server({"m": directory}, versions="all") as server:
        old, new, latest = (
            Client(server.url, "m", version=v).transport.request(":predict", body)
            for v in (1, 2, None)
        )
        client = Client(server.url, "m")
        assert client.status() == {"2": "AVAILABLE", "1": "AVAILABLE"}
    assert latest == new != old
    with Server({"m": directory}) as server:
        assert Client(server.url, "m").status() == {"2": "AVAILABLE"}


@only_local
def test_a_directory_without_versions_is_an_error(tmp_path):
    (tmp_path / "not-a-version").mkdir()
    with pytest.raises(MissingFileError, match="keras-bert export"):
        Server({"m": tmp_path})
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(MissingFileError, match="name the directory above"):
        Server({"m": tmp_path})


@only_local
def test_versions_that_are_not_there_are_an_error(directory):
    with pytest.raises(MissingFileError, match="one of the versions asked for"):
        Server({NAME: directory}, versions="77")


@only_local
def test_requests_over_the_limit_or_without_length_are_refused(directory):
    with Server({NAME: directory}, limits=Limits(max_request_bytes=100)) as server:
        client = Client(server.url, NAME, retries=0)
        assert len(client.predict(["a"])) == 1
        with pytest.raises(RequestError, match="at most 100 bytes") as caught:
            client.predict(["a" * 100])
        assert caught.value.status == 413
        host = server.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.putrequest("POST", f"/v1/models/{NAME}:predict")
        connection.endheaders()
        assert connection.getresponse().status == 411
        connection.close()


@only_local
def test_a_client_that_still_sends_learns_why_it_is_refused(directory):
    # More than the sockets' buffers hold: it is not read in passing.
    limits = Limits(max_request_bytes=4 << 20)
    with Server({NAME: directory}, limits=limits) as server:
        with pytest.raises(RequestError, match="at most 4194304 bytes") as caught:
            Client(server.url, NAME, retries=0).predict(["a" * (24 << 20)])
    assert caught.value.status == 413


@only_local
def test_shutdown_frees_the_port_with_a_connection_open(directory):
    server = Server({NAME: directory}).start()
    port = int(server.url.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", f"/v1/models/{NAME}")
    assert connection.getresponse().read()
    server.close()
    connection.close()
    server.wait()  # returns at once: the thread is gone
    with Server({NAME: directory}, port) as again:
        assert again.url.endswith(f":{port}")


@only_local
def test_a_server_that_never_started_closes(directory):
    server = Server({NAME: directory})
    server.close()
    port = int(server.url.rsplit(":", 1)[1])
    with Server({NAME: directory}, port) as again:  # its place is free again
        assert again.url == server.url


@only_local
def test_an_unexpected_failure_is_an_answer(directory, monkeypatch, caplog):
    monkeypatch.setitem(rest.METHODS, "status", lambda *a: 1 / 0)
    with Server({NAME: directory}) as server, caplog.at_level(logging.CRITICAL):
        with pytest.raises(RequestError, match="ZeroDivisionError") as caught:
            Client(server.url, NAME, retries=0).status()
    assert caught.value.status == 500


@only_local
def test_store_checks_inputs_and_outputs_by_name(directory):
    store = ModelStore([ModelConfig(NAME, directory)])
    with store.use(NAME) as model:
        check_names(model)
    store.close()


def check_names(model):
    text = np.array([b"so good"], object)
    only = model.predict({"text": text}, output_filter=["label"])
    assert list(only) == ["label"]
    cases = [
        (
            {"txt": text},
            *("", ()),
            "Signature input alias: text(feed name: serving_default_text:0) not found "
            "in request and no default value provided. Inputs expected to be in the "
            "request {txt}",
        ),
        (
            {"text": text, "txt": text},
            *("", ()),
            "2!=1 len({text,txt}) != len({text}). Sent extra: {txt}.",
        ),
        ({}, "", (), "Missing but required: {text}."),
        ({"text": text}, "", ("nope",), "alias not found in signature: nope"),
        ({"text": text}, "", ("label",) * 2, "duplicate output tensor alias: label"),
        ({"text": np.zeros(1)}, "", (), "arg[0] to be string but double is provided"),
    ]
    for inputs, signature, wanted, message in cases:
        with pytest.raises(ServingError) as caught:
            model.predict(inputs, signature, wanted)
        assert message in str(caught.value)
        assert caught.value.code == "INVALID_ARGUMENT"
    with pytest.raises(ServingError, match='key "nope" not found') as caught:
        model.predict({"text": text}, "nope")
    assert caught.value.code == "FAILED_PRECONDITION"


# === The client ===


def test_client_speaks_every_signature(url, expected):
    client = Client(url, NAME)
    logits = [row["logits"] for row in client.predict(TEXTS)]
    assert_close(logits, expected)
    pairs = client.predict(TEXTS, PAIRS)
    assert [set(row) for row in pairs] == [{"label", "logits", "probabilities"}] * 4
    assert [row["logits"] for row in pairs] != logits
    arrays = {k: np.array(v, np.int32) for k, v in ids_of().items()}
    assert client.predict_ids(arrays) == client.predict_ids(ids_of())
    assert client.predict([]) == []
    assert "serve_ids" in client.metadata()
    assert "AVAILABLE" in client.status().values()


def test_client_refuses_what_cannot_be_meant(url):
    client = Client(url, NAME)
    with pytest.raises(InputError, match="one string"):
        client.predict("a good film")
    with pytest.raises(InputError, match="4 texts and 2 text_pairs"):
        client.predict(TEXTS, PAIRS[:2])
    with pytest.raises(RequestError, match='"nope" not found') as caught:
        client.predict(TEXTS, signature_name="nope")
    assert caught.value.status == 400


def test_client_says_where_it_looked_for_a_server():
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_address[1]
    client = Client(f"127.0.0.1:{port}", NAME, retries=1, wait=0)
    with pytest.raises(RequestError, match=f"127.0.0.1:{port}/v1/models/{NAME}"):
        client.status()


@pytest.mark.parametrize(
    "host, url",
    [
        ("bert", "http://bert:8501"),
        ("bert:80", "http://bert:80"),
        ("https://bert/", "https://bert"),
    ],
)
def test_client_completes_addresses(host, url):
    assert Client(host, "m", version=3).url == f"{url}/v1/models/m/versions/3"


class Flaky(BaseHTTPRequestHandler):
    """Answers with the statuses its server was given, one after the other."""

    def do_GET(self):
        status = self.server.statuses.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b'{"model_version_status": []}')

    def log_message(self, *args):
        pass


@pytest.mark.parametrize(
    "statuses, retries, left",
    [
        ([503, 502, 200], 2, []),
        ([503, 503, 200], 1, [200]),
        ([404, 200], 2, [200]),
        ([429, 200], 2, [200]),  # too large now is too large later
        ([504, 200], 2, [200]),
    ],
)
def test_client_retries_what_may_pass_and_nothing_else(statuses, retries, left):
    with HTTPServer(("127.0.0.1", 0), Flaky) as server:
        server.statuses = list(statuses)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        client = Client(url, NAME, retries=retries, wait=0)
        try:
            if left:
                with pytest.raises(RequestError):
                    client.status()
            else:
                assert client.status() == {}
            assert server.statuses == left
        finally:
            server.shutdown()
            thread.join()


def test_many_clients_at_once_get_their_own_answers(url):
    client = Client(url, NAME)
    alone = {text: client.predict([text])[0]["logits"] for text in TEXTS}
    wanted = TEXTS * 8
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: client.predict([text])[0], wanted))
    for text, answer in zip(wanted, answers, strict=True):
        assert_close(answer["logits"], alone[text])


# === JSON and tensors ===

DTYPES = {
    tf.int32: st.integers(-(2**31), 2**31 - 1),
    tf.int64: st.integers(-(2**63), 2**63 - 1),
    tf.float32: st.floats(width=32),
    tf.bool: st.booleans(),
    tf.string: st.text(),
}


# The first text ever drawn builds a table of all characters, which takes seconds.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.data(), st.sampled_from(list(DTYPES)), st.lists(st.integers(1, 3), max_size=3)
)
def test_dense_values_survive_both_ways(data, dtype, shape):
    size = int(np.prod(shape))
    values = data.draw(st.lists(DTYPES[dtype], min_size=size, max_size=size))
    nested = np.empty(size, object)
    nested[:] = values
    nested = nested.reshape(shape).tolist()
    tensor = json_format.tensor_of(
        json.loads(json.dumps(nested)), dtype.as_datatype_enum
    )
    assert tensor.shape == tuple(shape)
    assert tensor.dtype == dtype.as_numpy_dtype
    received = json_format.to_json("x", tensor)
    assert repr(received) == repr(nested)


@given(st.lists(st.binary(), min_size=1))
def test_bytes_survive_as_base64(values):
    array = np.empty(len(values), object)
    array[:] = values
    written = json.loads(json.dumps(json_format.to_json("page_bytes", array)))
    assert all(set(value) == {"b64"} for value in written)
    read = json_format.tensor_of(written, tf.string.as_datatype_enum)
    assert read.tolist() == values


def test_nan_and_infinity_are_legal_both_ways():
    document = json_format.parse(b'{"inputs": [NaN, Infinity, -Infinity]}')
    tensor = json_format.tensor_of(document["inputs"], tf.float32.as_datatype_enum)
    assert np.isnan(tensor[0]) and tensor[1:].tolist() == [np.inf, -np.inf]
    written = json.dumps(json_format.write_columns({"x": tensor}))
    assert written == '{"outputs": [NaN, Infinity, -Infinity]}'


def test_rows_need_one_batch_size():
    with pytest.raises(ServingError, match="inconsistent batch size: 3 expecting: 2"):
        json_format.write_rows({"a": np.zeros(2), "b": np.zeros(3)})
    with pytest.raises(ServingError, match="has no shape information"):
        json_format.write_rows({"a": np.float32(0)})


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_body_is_an_answer(body):
    try:
        document = json_format.parse(body)
        json_format.format_of(document)
    except ServingError as error:
        assert error.code == "INVALID_ARGUMENT"


def test_half_a_surrogate_pair_and_depth_are_refused():
    half = json.loads('{"inputs": "\\ud83d"}')["inputs"]
    with pytest.raises(ServingError, match="surrogate"):
        json_format.tensor_of(half, tf.string.as_datatype_enum)
    with pytest.raises(ServingError, match="JSON Parse error"):
        json_format.parse(b'{"inputs": ' + b"[" * 100_000)
    with pytest.raises(ServingError, match="JSON Parse error"):
        json_format.parse(b'{"inputs": ' + b"9" * 10_000 + b"}")


def test_numbers_that_no_float_holds_are_refused():
    for kind in (tf.float32, tf.float64):
        with pytest.raises(ServingError, match="too big for float"):
            json_format.tensor_of([1, 10**400], kind.as_datatype_enum)
