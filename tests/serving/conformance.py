"""Who answers the conformance checks: the local server, or a real TF Serving.

`TFS_HOST` names a real one's REST address, `TFS_GRPC_HOST` its gRPC address.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keras_bert.serving import Client
from keras_bert.serving.export import versions
from keras_bert.serving.server import Server
from tests.paths import ROOT

NAME = "conformance"
REAL = os.environ.get("TFS_HOST")
REAL_GRPC = os.environ.get("TFS_GRPC_HOST", f"{(REAL or '').partition(':')[0]}:8500")
REAL_DIRECTORY = ROOT / "saved_models" / NAME
only_local = pytest.mark.skipif(bool(REAL), reason="a property of the local server")


@contextmanager
def served(directory: Path, grpc: bool) -> Iterator[dict[str, str]]:
    """Serves what is exported in a directory; gives addresses by protocol."""
    if not REAL:
        with Server({NAME: directory}, grpc_port=0 if grpc else None) as server:
            yield {"rest": server.url, "grpc": server.grpc_address}
        return
    client, newest = Client(REAL, NAME), str(versions(directory)[-1])
    deadline = time.monotonic() + 60
    while client.status().get(newest) != "AVAILABLE":  # the server looks every second
        assert time.monotonic() < deadline, f"{REAL} does not load {directory}"
        time.sleep(0.5)
    yield {"rest": client.url.partition("/v1/")[0], "grpc": REAL_GRPC}
