"""Numbers of things that are none are refused before anything is done."""

import numpy as np
import pytest

from keras_bert import analysis, pretraining, tasks
from keras_bert.errors import ConfigError, check_counts
from keras_bert.pretraining.numpy_reading import RecordBatches
from keras_bert.serving import runtimes
from keras_bert.serving.local_server.settings import BatchingParameters, Limits
from keras_bert.serving.predictor import Predictor
from keras_bert.serving.runtimes.benchmark import Work, random_rows
from keras_bert.serving.server import Server

NAN = float("nan")
BAD = (0, -1, 1.0, 2.5, "3", None, True, NAN)
CALLS = {
    "batch_size": [
        lambda n: tasks.dataset({}, None, n),
        lambda n: pretraining.dataset("none", n),
        lambda n: RecordBatches("none", n),
        lambda n: Predictor(None, None, batch_size=n),
        lambda n: next(analysis.extract_features(None, None, [], batch_size=n)),
        lambda n: Work.of_rows([[1]], n),
    ],
    "workers": [
        lambda n: pretraining.create_pretraining_data("none", "out", None, workers=n)
    ],
    "median": [lambda n: random_rows(1, 9, n)],
    "threads": [lambda n: runtimes.load("none", threads=n or 0)],
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("value", BAD)
def test_counts(name, value):
    for call in CALLS[name]:
        with pytest.raises(ConfigError, match=f"Expected {name} of 1 or more"):
            call(value)


@pytest.mark.parametrize(
    "arguments",
    [
        *({"port": n} for n in (-1, 65536, 10**30)),
        *({"grpc_port": n} for n in (-1, 65536)),
        *({"file_system_poll_wait_seconds": n} for n in (-1, NAN, 10**30)),
    ],
)
def test_numbers_of_a_server(arguments):
    (name,) = arguments
    with pytest.raises(ConfigError, match=f"Expected {name} from 0 to"):
        Server({"m": "nowhere"}, **arguments)


@pytest.mark.parametrize("value", [0, -1, NAN, float("inf")])
def test_limits_of_a_server(value):
    for name in vars(Limits()):
        with pytest.raises(ConfigError, match=f"Expected {name} above 0"):
            Limits(**{name: value})
    for name in vars(BatchingParameters()):
        for number in (-1, 2**31):
            with pytest.raises(ConfigError, match=f"Expected {name} of at least"):
                BatchingParameters(**{name: number})


def test_whole_numbers_of_numpy_are_counts():
    check_counts(rows=np.int64(1), batch_size=np.uint8(255))
