"""How far apart two float32 computations of one thing may be, and why.

Float32 has 24 binary digits: near 1 its unit in the last place (ulp) is 2**-23, about
1.2e-7, and it grows with the number. Another order of additions — another processor,
batch, kernel or library — changes a few of these units, so a bound is a number of them
and not a number of decimals. They are units of the tensor's largest value, because its
small values are differences of large ones; and at least of 1, the size of the
normalized hidden states that logits and probabilities are computed from.

The most measured is 9 units, or 1.1e-6 of the largest value: of any layer of any stored
case, between our models and the originals, with and without wide vector instructions,
and between Keras and other runtimes. A fault that matters is thousands: the tanh form
of gelu for the erf form is 6,000.
"""

import numpy as np

ULP = float(np.finfo("float32").eps)
ULPS = 16  # the most measured, and almost as much again for processors not measured
LARGEST = 4.0  # of the hidden states of stored cases, for reports that hold none


def bound(expected=1.0, ulps: float = ULPS) -> float:
    """Returns the largest difference that rounding may make to these values."""
    if isinstance(expected, dict):
        return max(bound(value, ulps) for value in expected.values())
    return ulps * ULP * max(1.0, float(np.abs(expected).max(initial=0.0)))


def assert_close(actual, expected, ulps: float = ULPS, name: str = "") -> None:
    """Fails where two arrays, or two dicts of them, differ by more than rounding."""
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for key, value in expected.items():
            assert_close(actual[key], value, ulps, key)
        return
    expected = np.asarray(expected)
    np.testing.assert_allclose(actual, expected, 0, bound(expected, ulps), err_msg=name)
