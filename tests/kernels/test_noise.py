"""Rounding of the noise that kernels compare gains with."""

import numpy as np

import reference


def test_noise_never_grows_with_the_uniform_variate():
    # The table of bounds in kernels/sparse/sparse_table.hpp needs it. The kernels round as the twin
    # does.
    u = (np.arange(2**23) + 0.5).astype(np.float32) * np.float32(2.0**-23)
    exponential = reference.streams.minus_log(u)
    assert (np.diff(exponential) <= 0).all()
    np.testing.assert_allclose(exponential, -np.log(u.astype(float)), rtol=4e-7)
