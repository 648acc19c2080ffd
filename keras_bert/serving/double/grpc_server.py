"""gRPC in front of the services: threads, limits, health, and an orderly end."""

from concurrent.futures import ThreadPoolExecutor

import grpc
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from keras_bert.serving.double.errors import AddressError
from keras_bert.serving.double.grpc_service import ModelService, PredictionService
from keras_bert.serving.double.limits import Limits
from keras_bert.serving.double.metrics import Metrics
from keras_bert.serving.double.model_store import ModelStore

THREADS = 64  # requests at once; most of them wait for their batch


class GrpcServer:
    """Answers gRPC on threads of its own.

    Args:
        address: `"host:port"`; port 0 takes a free one.
        store: the models.
        metrics: counts requests.
        limits: of a message's size.

    Raises:
        AddressError: the port is taken.
    """

    def __init__(
        self, address: str, store: ModelStore, metrics: Metrics, limits: Limits
    ):
        self._server = grpc.server(
            ThreadPoolExecutor(THREADS, "grpc"),
            options=[
                ("grpc.so_reuseport", 0),  # two servers on one port would go unnoticed
                ("grpc.max_receive_message_length", limits.max_request_bytes),
                ("grpc.max_send_message_length", -1),
            ],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(store, metrics, limits), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(store, metrics), self._server
        )
        self._health = _health_of(self._server)
        host = address.rpartition(":")[0]
        try:
            self.address = (host, self._server.add_insecure_port(address))
        except RuntimeError as error:
            raise AddressError(address, error) from error

    def start(self) -> None:
        """Begins to answer; returns at once."""
        self._server.start()

    def close(self, grace: float) -> None:
        """Refuses new requests as UNAVAILABLE and waits for those in hand.

        Args:
            grace: seconds to wait at most.
        """
        if self._health:
            self._health.enter_graceful_shutdown()
        self._server.stop(grace).wait()


def _health_of(server: grpc.Server):
    """Adds gRPC's health service, where `grpcio-health-checking` is installed."""
    try:
        from grpc_health.v1 import health, health_pb2, health_pb2_grpc
    except ImportError:
        return None
    servicer = health.HealthServicer()
    for name in ("", "PredictionService", "ModelService"):
        servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    return servicer
