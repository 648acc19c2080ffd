"""Conformance to TF Serving's gRPC API, and that both protocols answer alike.

The checks run against the local server in this package, or, where TFS_HOST
names one, against a real server; see docs/serving.md.
"""

import base64
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_bert.errors import InputError, UnknownNameError
from keras_bert.serving import Client
from keras_bert.serving.client import RequestError
from keras_bert.serving.clients import wire
from keras_bert.serving.export import export, versions
from keras_bert.serving.local_server.errors import AddressError
from keras_bert.serving.local_server.settings import Limits
from keras_bert.serving.predictor import Predictor
from keras_bert.serving.server import Server
from tests.bounds import assert_close, bound
from tests.serving.cases import CONFIG, PAIRS, TEXTS, make_model
from tests.serving.conformance import NAME, only_local, served

grpc = pytest.importorskip("grpc")
apis = pytest.importorskip("tensorflow_serving.apis")

from tensorflow_serving.apis import (  # noqa: E402
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)


@pytest.fixture(scope="module")
def addresses(directory):
    """Where REST and gRPC are."""
    with served(directory, grpc=True) as found:
        yield found


@pytest.fixture(params=["rest", "grpc"])
def client(request, addresses):
    with Client(addresses[request.param], NAME, protocol=request.param) as made:
        yield made


@pytest.fixture(scope="module")
def channel(addresses):
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(addresses["grpc"], options) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def predict_request(inputs, signature="", name=NAME, wanted=()):
    request = predict_pb2.PredictRequest(output_filter=wanted)
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def on_examples(kind, texts=TEXTS, signature="serve_examples", context=None):
    request = kind()
    if hasattr(request, "model_spec"):
        request.model_spec.name = NAME
        request.model_spec.signature_name = signature
    target = request.input.example_list
    if context is not None:
        target = request.input.example_list_with_context
        target.context.features.feature["text"].bytes_list.value.append(context)
    for text in texts:
        features = target.examples.add().features.feature
        if text is not None:
            features["text"].bytes_list.value.append(text.encode())
    return request


def refusal(call, request):
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=30)
    return caught.value.code().name, caught.value.details()


def ids_of(length=5, batch=2):
    rng = np.random.default_rng(batch * 100 + length)
    shape = (batch, length)
    return {
        "input_ids": rng.integers(1, CONFIG.vocab_size, shape).astype(np.int32),
        "attention_mask": np.ones(shape, np.int32),
        "token_type_ids": rng.integers(0, 2, shape).astype(np.int32),
    }


# === The same answers by every way ===


def test_rest_grpc_in_process_and_keras_agree(addresses, model, tokenizer):
    rest, over_grpc = (
        Client(addresses[name], NAME, protocol=name).predict(TEXTS)
        for name in ("rest", "grpc")
    )
    assert rest == over_grpc
    logits = [row["logits"] for row in over_grpc]
    keras = model(tokenizer(TEXTS, max_length=13)).numpy()
    assert_close(logits, keras)
    for row, here in zip(
        over_grpc, Predictor(model, tokenizer, max_length=13)(TEXTS), strict=True
    ):
        assert row["label"] == here["label"].decode()
        assert_close(row["probabilities"], here["probabilities"])


def test_clients_agree_on_all_they_can_ask(addresses):
    answers = [
        (
            client.predict(TEXTS, PAIRS),
            client.predict_ids(ids_of()),
            client.status(),
            client.metadata(),
            client.predict([]),
        )
        for client in (
            Client(addresses[name], NAME, protocol=name) for name in ("rest", "grpc")
        )
    ]
    assert answers[0] == answers[1]
    assert set(answers[0][1]) == {"logits"}


LONG = "so good, a film … was it seen " * 3
# Of each model the options of its export and what it is asked.
OTHER_ANSWERS = {
    "answers": ({"doc_stride": 4}, (["was it", "what", "a"], [LONG, "so", ""])),
    "tokens": ({"labels": ["O", "B-X", "I-X"]}, ([LONG, "a film", ""],)),
    "encoder": ({"embeddings": "mean", "normalize": True}, (TEXTS,)),
}


@pytest.fixture(scope="module")
def other_addresses(tmp_path_factory, tokenizer):
    """Where REST and gRPC of a server of the models in `OTHER_ANSWERS` are."""
    folder = tmp_path_factory.mktemp("others")
    for case, (options, _) in OTHER_ANSWERS.items():
        export(make_model(case), folder / case, tokenizer, max_length=13, **options)
    served = {case: folder / case for case in OTHER_ANSWERS}
    with Server(served, grpc_port=0) as server:
        yield {"rest": server.url, "grpc": server.grpc_address}


def rounded(value):
    """Numbers as far as they may be compared, text as strings, lists as they are."""
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, bytes):
        return value.decode()
    return pytest.approx(value, abs=bound(value)) if isinstance(value, float) else value


@only_local
@pytest.mark.parametrize("case", OTHER_ANSWERS)
def test_questions_entities_and_vectors_agree_too(case, other_addresses, tokenizer):
    options, asked = OTHER_ANSWERS[case]
    rest, over_grpc = (
        Client(address, case, protocol=name).predict(*asked)
        for name, address in other_addresses.items()
    )
    assert rest == over_grpc
    predict = Predictor(make_model(case), tokenizer, max_length=13, **options)
    expected = predict(*asked)
    assert len(rest) == len(expected)
    for row, here in zip(rest, expected, strict=True):
        if case == "tokens":  # without what fills the table
            row = {
                name: value[: row["count"]] if isinstance(value, list) else value
                for name, value in row.items()
            }
        here = {name: np.asarray(value).tolist() for name, value in here.items()}
        assert row == {name: rounded(value) for name, value in here.items()}


@only_local
def test_other_answers_are_what_they_are_called(other_addresses):
    def ask(case):
        address = other_addresses["grpc"]
        return Client(address, case, protocol="grpc").predict(*OTHER_ANSWERS[case][1])

    found, _, none = ask("answers")
    assert LONG[found["start"] : found["end"]] == found["answer"] != ""
    assert none["answer"] == ""
    entities, *_ = ask("tokens")
    places = zip(entities["start"], entities["end"], strict=True)
    assert [LONG[start:end] for start, end in places] == entities["text"] != []
    vectors = np.array([row["embeddings"] for row in ask("encoder")])
    assert vectors.shape == (len(TEXTS), CONFIG.hidden_size)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


def test_a_version_is_asked_by_number(client, directory, addresses):
    number = versions(directory)[-1]
    kind = "grpc" if "/v1/" not in client.url else "rest"
    same = Client(addresses[kind], NAME, protocol=kind, version=number)
    assert same.predict(TEXTS) == client.predict(TEXTS)
    with pytest.raises(RequestError, match=f"Specific\\({NAME}, 99\\)"):
        Client(addresses[kind], NAME, protocol=kind, version=99).predict(TEXTS)
    with pytest.raises(RequestError, match="version label: stable"):
        Client(addresses[kind], NAME, protocol=kind, label="stable").predict(TEXTS)


# Of each text what is asked of the answer to it.
UNUSUAL = {
    "empty": [""],
    "spaces": [" \t\n"],
    "a megabyte": ["so good " * 125_000],
    "a megabyte without a space": ["x" * 1_000_000],
    "other scripts": ["電影 \U0001f600 \u200b\ufffe"],
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_unusual_texts_have_answers(client, case, model, tokenizer):
    [row] = client.predict(UNUSUAL[case])
    expected = model(tokenizer(UNUSUAL[case], max_length=13)).numpy()
    assert_close([row["logits"]], expected)


def test_ten_thousand_texts_have_ten_thousand_answers(client):
    texts = [TEXTS[i % len(TEXTS)] for i in range(10_000)]
    few = client.predict(TEXTS)
    logits = np.array([row["logits"] for row in client.predict(texts)])
    expected = np.array([row["logits"] for row in few] * 2500)
    assert_close(logits, expected)


def test_text_that_is_not_utf8_has_an_answer(stub, addresses):
    value = b"so \xff\xfe good"
    proto = stub.Predict(predict_request({"text": [value]})).outputs["logits"]
    encoded = {"b64": base64.b64encode(value).decode()}
    rest = Client(addresses["rest"], NAME).transport
    answer = rest.request(":predict", {"instances": [encoded]})
    assert tf.make_ndarray(proto).tolist() == [answer["predictions"][0]["logits"]]


# === Predict ===


def test_predict_names_the_model_that_answered(stub, directory):
    response = stub.Predict(predict_request({"text": TEXTS}))
    spec = response.model_spec
    assert (spec.name, spec.signature_name) == (NAME, "serving_default")
    assert spec.version.value == versions(directory)[-1]
    assert set(response.outputs) == {"label", "logits", "probabilities"}
    labels = tf.make_ndarray(response.outputs["label"])
    assert set(labels) <= {b"bad", b"fair", b"good"}


def test_output_filter_leaves_the_rest_out(stub):
    every = stub.Predict(predict_request({"text": TEXTS}))
    one = stub.Predict(predict_request({"text": TEXTS}, wanted=["logits"]))
    assert set(one.outputs) == {"logits"}
    assert_close(
        tf.make_ndarray(one.outputs["logits"]), tf.make_ndarray(every.outputs["logits"])
    )


@pytest.mark.parametrize("batch, length", [(1, 1), (1, 23), (7, 4)])
def test_batch_and_length_are_free(stub, model, batch, length):
    ids = ids_of(length, batch)
    response = stub.Predict(predict_request(ids, "serve_ids"))
    received = tf.make_ndarray(response.outputs["logits"])
    assert_close(received, model(ids))


IDS = ids_of(1, 1)
REFUSED = {
    "unknown signature": (
        predict_request({"text": TEXTS}, "nope"),
        ("FAILED_PRECONDITION", 'Serving signature key "nope" not found.'),
    ),
    "missing input": (
        predict_request({"input_ids": IDS["input_ids"]}, "serve_ids"),
        (
            "INVALID_ARGUMENT",
            "input size does not match signature: 1!=3 len({input_ids}) != "
            "len({attention_mask,input_ids,token_type_ids}). Sent extra: {}. "
            "Missing but required: {attention_mask,token_type_ids}.",
        ),
    ),
    "unknown output": (
        predict_request({"text": TEXTS}, wanted=["nope"]),
        (
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: nope Outputs expected to be "
            "in the set {label,logits,probabilities}.",
        ),
    ),
    "an output twice": (
        predict_request({"text": TEXTS}, wanted=["label", "label"]),
        ("INVALID_ARGUMENT", "duplicate output tensor alias: label"),
    ),
    "what is no signature to ask": (
        predict_request({}, "__saved_model_init_op"),
        (
            "INVALID_ARGUMENT",
            "Tensor NoOp:0, specified in either feed_devices or fetch_devices was not "
            "found in the Graph",
        ),
    ),
    "no model": (
        predict_pb2.PredictRequest(),
        ("INVALID_ARGUMENT", "Missing ModelSpec"),
    ),
    "unknown model": (
        predict_request({"text": TEXTS}, name="nope"),
        ("NOT_FOUND", "Servable not found for request: Latest(nope)"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(stub, case):
    request, expected = REFUSED[case]
    assert refusal(stub.Predict, request) == expected


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"input_ids": np.array([[99]], np.int32)},
            "Expected input_ids from 0 to 36. Received: from] [99]",
        ),
        ({"input_ids": np.array([[1]], np.int64)}, "to be int32 but int64 is provided"),
    ],
)
def test_wrong_ids_are_invalid_arguments(stub, change, message):
    request = predict_request({**IDS, **change}, "serve_ids")
    code, details = refusal(stub.Predict, request)
    assert code == "INVALID_ARGUMENT"
    assert message in details


@pytest.mark.parametrize("shape", [[1], [-1], [10**12]])
def test_values_that_do_not_fill_their_shape_are_refused(stub, shape):
    request = predict_request({"text": ["a", "b"]})
    request.inputs["text"].tensor_shape.Clear()
    for size in shape:
        request.inputs["text"].tensor_shape.dim.add(size=size)
    request.inputs["text"].string_val[:] = [b"a", b"b"]
    code, details = refusal(stub.Predict, request)
    assert (code, details) == ("INVALID_ARGUMENT", "tensor parsing error: text")


# === Classify, Regress, MultiInference ===


def test_classify_pairs_labels_with_scores(stub, client):
    response = stub.Classify(on_examples(classification_pb2.ClassificationRequest))
    rows = client.predict(TEXTS)
    for row, found in zip(rows, response.result.classifications, strict=True):
        assert [c.label for c in found.classes] == ["bad", "fair", "good"]
        scores = [c.score for c in found.classes]
        assert_close(scores, row["probabilities"])
    assert response.model_spec.signature_name == "serve_examples"


def test_examples_may_share_a_context(stub):
    kind = classification_pb2.ClassificationRequest
    plain = stub.Classify(on_examples(kind, ["so good"]))
    shared = stub.Classify(on_examples(kind, [None], context=b"so good"))
    assert shared.result == plain.result


@pytest.mark.parametrize(
    "signature, texts, message",
    [
        ("nope", TEXTS, "No signature was found with the name: nope"),
        ("serve_ids", TEXTS, "Expected one input Tensor."),
        ("", TEXTS, "Expected one or two output Tensors, found 3"),
        ("serve_examples", [], "Input is empty."),
        ("serve_examples", [None], "text"),
    ],
)
def test_refused_examples(stub, signature, texts, message):
    kind = classification_pb2.ClassificationRequest
    code, details = refusal(stub.Classify, on_examples(kind, texts, signature))
    assert code == "INVALID_ARGUMENT"
    assert message in details


def test_regress_needs_a_regression(stub):
    request = on_examples(regression_pb2.RegressionRequest)
    expected = ("INVALID_ARGUMENT", "Expected one output Tensor.")
    assert refusal(stub.Regress, request) == expected


def with_tasks(*tasks):
    request = on_examples(inference_pb2.MultiInferenceRequest)
    for name, signature, method in tasks:
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = name, signature
    return request


def test_multi_inference_answers_as_the_single_ones(stub):
    request = with_tasks((NAME, "serve_examples", "classify"))
    [result] = stub.MultiInference(request).results
    alone = stub.Classify(on_examples(classification_pb2.ClassificationRequest))
    assert result.classification_result == alone.result
    assert result.model_spec == alone.model_spec


TASK = (NAME, "serve_examples", "classify")
REFUSED_TASKS = {
    "no name": ([("", "", "classify")], "INVALID_ARGUMENT", "an empty model name"),
    "two models": (
        [TASK, ("other", "", "classify")],
        "INVALID_ARGUMENT",
        "must access the same model name",
    ),
    "twice": ([TASK, TASK], "INVALID_ARGUMENT", "Duplicate evaluation of signature"),
    "signature": (
        [(NAME, "nope", "classify")],
        "INVALID_ARGUMENT",
        "Requested signature not found in model graph: nope",
    ),
    "method": (
        [(NAME, "serve_examples", "predict")],
        "UNIMPLEMENTED",
        "Unsupported signature method_name: tensorflow/serving/predict",
    ),
}


@pytest.mark.parametrize("case", REFUSED_TASKS)
def test_refused_tasks(stub, case):
    tasks, expected, message = REFUSED_TASKS[case]
    code, details = refusal(stub.MultiInference, with_tasks(*tasks))
    assert code == expected
    assert message in details


@only_local
def test_regressions(tmp_path, tokenizer):
    export(make_model("score"), tmp_path, tokenizer)
    with Server({NAME: tmp_path}, grpc_port=0) as server:
        with grpc.insecure_channel(server.grpc_address) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            alone = stub.Regress(on_examples(regression_pb2.RegressionRequest))
            request = with_tasks((NAME, "serve_examples", "regress"))
            [result] = stub.MultiInference(request).results
        rows = Client(server.grpc_address, NAME, protocol="grpc").predict(TEXTS)
        assert Client(server.url, NAME).predict(TEXTS) == rows
    assert result.regression_result == alone.result
    values = [regression.value for regression in alone.result.regressions]
    assert_close(values, [row["scores"] for row in rows])


# === Metadata, status, configuration ===


def test_metadata_lists_every_signature(stub, directory):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = NAME
    details = refusal(stub.GetModelMetadata, request)[1]
    assert details == "GetModelMetadataRequest must specify at least one metadata_field"
    request.metadata_field.append("weights")
    details = refusal(stub.GetModelMetadata, request)[1]
    assert details == "Metadata field weights is not supported"
    request.metadata_field[:] = ["signature_def"]
    response = stub.GetModelMetadata(request)
    assert response.model_spec.version.value == versions(directory)[-1]
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    assert {"serving_default", "serve_pairs", "serve_ids", "serve_examples"} <= set(
        found.signature_def
    )


def test_status(models, directory):
    request = get_model_status_pb2.GetModelStatusRequest()
    assert refusal(models.GetModelStatus, request)[1] == "Missing ModelSpec"
    request.model_spec.name = NAME
    found = models.GetModelStatus(request).model_version_status
    newest = max(found, key=lambda status: status.version)
    assert newest.version == versions(directory)[-1]
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert (newest.state, newest.status.error_code) == (available, 0)
    request.model_spec.version.value = 99
    expected = ("NOT_FOUND", f"Could not find version 99 of model {NAME}")
    assert refusal(models.GetModelStatus, request) == expected


@only_local
def test_models_are_configured_while_it_runs(directory, tmp_path):
    (tmp_path / "other").mkdir()
    for number in "35":
        (tmp_path / "other" / number).symlink_to(directory / "1")
    models = {NAME: directory, "other": tmp_path / "other"}
    with Server(models, grpc_port=0, allow_reload=True) as server:
        with grpc.insecure_channel(server.grpc_address) as channel:
            models = model_service_pb2_grpc.ModelServiceStub(channel)
            request = model_management_pb2.ReloadConfigRequest()
            code, details = refusal(models.HandleReloadConfigRequest, request)
            assert code == "INVALID_ARGUMENT"
            assert "Only ModelConfigList is currently supported" in details
            assert Client(server.url, "other").status() == {"5": "AVAILABLE"}
            entry = request.config.model_config_list.config.add(
                name="other", base_path=str(tmp_path / "other")
            )
            entry.model_version_policy.specific.versions.append(3)
            models.HandleReloadConfigRequest(request)
            entry.version_labels["stable"] = 3  # only of a version that serves
            models.HandleReloadConfigRequest(request)
            entry.version_labels["canary"] = 4
            code, details = refusal(models.HandleReloadConfigRequest, request)
            assert code == "FAILED_PRECONDITION"
            assert "Request to assign label to version 4 of model other" in details
        grpc_client = Client(
            server.grpc_address, "other", protocol="grpc", label="stable"
        )
        rest = Client(server.url, "other", label="stable")
        assert grpc_client.predict(TEXTS) == rest.predict(TEXTS)
        assert Client(server.url, "other").status() == {"5": "END", "3": "AVAILABLE"}
        assert Client(server.url, NAME).status() == {"1": "END"}
        with pytest.raises(RequestError, match=f"Latest\\({NAME}\\)") as caught:
            Client(server.url, NAME).predict(TEXTS)
        assert caught.value.status == 404


# === The local server: limits, health, what is missing ===


@only_local
def test_messages_over_the_limit_are_refused(directory):
    limits = Limits(max_request_bytes=1000, max_rows=3, max_text_bytes=100)
    cases = {
        "too many bytes": (["a" * 2000], "RESOURCE_EXHAUSTED", 413, "1000"),
        "too many rows": (["a"] * 4, "INVALID_ARGUMENT", 400, "at most 3 rows"),
        "too long": (["a" * 101], "INVALID_ARGUMENT", 400, "at most 100 bytes"),
    }
    with Server({NAME: directory}, grpc_port=0, limits=limits) as server:
        for texts, code, status, message in cases.values():
            with pytest.raises(RequestError, match=message) as caught:
                Client(server.grpc_address, NAME, protocol="grpc").predict(texts)
            assert caught.value.code == code
            with pytest.raises(RequestError, match=message) as caught:
                Client(server.url, NAME).predict(texts)
            assert caught.value.status == status


@only_local
def test_health(channel):
    health = pytest.importorskip("grpc_health.v1.health_pb2")
    stubs = pytest.importorskip("grpc_health.v1.health_pb2_grpc")
    for service in ("", "PredictionService", "ModelService"):
        request = health.HealthCheckRequest(service=service)
        status = stubs.HealthStub(channel).Check(request).status
        assert status == health.HealthCheckResponse.SERVING


@only_local
def test_a_taken_port_is_an_error(directory, addresses):
    port = int(addresses["grpc"].rpartition(":")[2])
    with pytest.raises(AddressError, match=f":{port}"):
        Server({NAME: directory}, grpc_port=port)


def reload_request(**entry):
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(**entry)
    return request


@only_local
def test_reload_is_off_unless_allowed(models, directory, tmp_path):
    request = reload_request(name=NAME, base_path=str(directory))
    code, details = refusal(models.HandleReloadConfigRequest, request)
    assert code == "PERMISSION_DENIED"
    assert "--allow-reload" in details


@only_local
def test_reload_takes_configured_models_alone(directory, tmp_path):
    (tmp_path / "1").symlink_to(directory / "1")
    elsewhere = str(tmp_path)
    refused = [
        reload_request(name="new", base_path=elsewhere),
        reload_request(name="new", base_path=str(directory)),
        reload_request(name=NAME, base_path=elsewhere),
        reload_request(base_path=str(directory)),
    ]
    with Server({NAME: directory}, grpc_port=0, allow_reload=True) as server:
        with grpc.insecure_channel(server.grpc_address) as channel:
            reload = model_service_pb2_grpc.ModelServiceStub(channel)
            for request in refused:
                code, details = refusal(reload.HandleReloadConfigRequest, request)
                assert code == "PERMISSION_DENIED"
                assert str(tmp_path) not in details
            bad = reload_request(name=NAME)
            bad.config.model_config_list.config[
                0
            ].model_version_policy.specific.versions[:] = [-1]
            assert refusal(reload.HandleReloadConfigRequest, bad)[0] == (
                "INVALID_ARGUMENT"
            )
            reload.HandleReloadConfigRequest(reload_request(name=NAME))
        assert Client(server.url, NAME).status() == {"1": "AVAILABLE"}


@only_local
@pytest.mark.parametrize("dtype", [0, 20, 21, 9999, -1, 101, 2**31 - 1])
def test_types_that_no_tensor_has_are_refused(stub, dtype):
    request = predict_request({"text": TEXTS})
    request.inputs["text"].dtype = dtype
    code, details = refusal(stub.Predict, request)
    assert (code, details) == ("INVALID_ARGUMENT", "tensor parsing error: text")


@only_local
def test_without_the_extra_the_server_says_what_is_missing():
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from keras_bert.cli import main\n"
        "sys.exit(main(['serve', '--model', 'm=nowhere']))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "uvicorn" in done.stderr and "bert-for-keras[serve]" in done.stderr


# === The client ===


def test_client_retries_a_server_that_is_away():
    client = Client("127.0.0.1:1", NAME, protocol="grpc", retries=1, wait=0)
    with pytest.raises(RequestError, match=f"^127.0.0.1:1/{NAME} ") as caught:
        client.status()
    assert caught.value.code == "UNAVAILABLE"
    assert caught.value.may_pass


def test_client_refuses_what_cannot_be_meant(addresses):
    with pytest.raises(UnknownNameError, match="Did you mean 'grpc'"):
        Client("localhost", NAME, protocol="grcp")
    with pytest.raises(InputError, match="both"):
        Client("localhost", NAME, version=1, label="stable")
    client = Client(addresses["grpc"], NAME, protocol="grpc")
    for values in ([[1, 2], [3]], [[1 << 31]], [[1.5]], [["a", 3]]):
        with pytest.raises(InputError, match="input_ids"):
            client.predict_ids({"input_ids": values})
    with pytest.raises(InputError, match=r"equal length for a\. Received: \[1, 2\]"):
        client.predict_ids({"a": [[1, 2], [3]]})


def test_client_needs_no_tensorflow():
    code = (
        "import sys; from keras_bert.serving import Client; "
        "Client('localhost:1', 'm', protocol='grpc'); "
        "assert not {'tensorflow', 'keras'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_messages_are_those_of_tensorflow_serving_api():
    from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
    from tensorflow.core.protobuf import meta_graph_pb2
    from tensorflow_serving.apis import model_pb2

    modules = [
        *(predict_pb2, get_model_status_pb2, get_model_metadata_pb2, model_pb2),
        *(meta_graph_pb2, tensor_pb2, tensor_shape_pb2),
    ]
    known = {
        name: message
        for module in modules
        for name, message in module.DESCRIPTOR.message_types_by_name.items()
    }
    shape = known["TensorShapeProto"]
    known |= {"Tensor": known["TensorProto"], "Shape": shape}
    known["Dim"] = shape.nested_types_by_name["Dim"]
    ours = {name for name in wire.MESSAGES if not name.endswith("Entry")}
    ours -= {"Any", "Version"}
    assert ours <= set(known)
    for name in ours:
        for number, field, kind in wire.MESSAGES[name]:
            theirs = known[name].fields_by_number[number]
            assert (theirs.name, theirs.is_repeated) == (field, kind[0] == "*")
            scalar = wire.Message[name].DESCRIPTOR.fields_by_number[number]
            if kind.strip("*") not in wire.MESSAGES and theirs.enum_type is None:
                assert theirs.type == scalar.type
    for number, name, _ in wire.DTYPES.values():
        assert types_pb2.DataType.Value(name) == number


@pytest.mark.parametrize(
    "array",
    [
        np.array([[b"a", "\u00e9".encode()], [b"", b"b"]], object),
        np.array([[1, -2, 3]], np.int32),
        np.arange(3, dtype=np.int64),
        np.array([[0.5, np.nan], [np.inf, -0.0]], np.float32),
        np.array([True, False]),
        np.zeros((0, 3), np.float32),
        np.array(2.5),
        np.full((4, 2), 7, np.int32),
    ],
)
def test_tensors_are_read_in_every_form(array):
    packed = tf.make_tensor_proto(array)
    unpacked = tf.make_tensor_proto(array.tolist() if array.size < 2 else array)
    for proto in (packed, unpacked):
        message = wire.Message["Tensor"].FromString(proto.SerializeToString())
        np.testing.assert_array_equal(wire.to_array(message), tf.make_ndarray(proto))
    repeated = wire.Message["Tensor"](dtype=3, int_val=[1, 7])
    repeated.tensor_shape.dim.add(size=4)
    assert wire.to_array(repeated).tolist() == [1, 7, 7, 7]
