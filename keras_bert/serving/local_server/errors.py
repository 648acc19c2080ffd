"""The one error of a request that cannot be answered, in TF Serving's terms."""

from keras_bert.errors import KerasBertError

# By the name of the gRPC status.
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class ServingError(KerasBertError):
    """A request that cannot be answered.

    Args:
        code: name of the gRPC status, for instance `"INVALID_ARGUMENT"`.
        message: what TF Serving says in the same case.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


def invalid(message: str) -> ServingError:
    """Returns the error for a request that is wrong in itself."""
    return ServingError("INVALID_ARGUMENT", message)


class AddressError(KerasBertError, OSError):
    """A server cannot listen where it was told to."""

    def __init__(self, address: str, error: Exception):
        said = str(error).removesuffix(".")
        super().__init__(
            f"Expected a free port at {address}. Received: {said}. Choose another "
            "port; 0 takes a free one."
        )
