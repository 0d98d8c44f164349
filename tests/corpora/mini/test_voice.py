"""The formants of the mini corpora's voices."""

import numpy as np

from speechbrain_ser.corpora.mini import voice


def test_formants_move_as_resonators_written_out():
    """Sample by sample, each 10 ms with coefficients of its own."""
    rng = np.random.default_rng(0)
    rate = 16000
    source = rng.normal(size=1000)  # six frames and a part
    formants = rng.uniform(300, 3500, (7, 4))
    expected = source
    for k, width in enumerate(voice.BANDWIDTHS):
        radius = np.exp(-np.pi * width / rate)
        given, expected = expected, [0.0, 0.0]
        turn = 0.0  # of the frame of the sample before
        for t, x in enumerate(given):
            angle = 2 * np.pi * formants[t // 160, k] / rate
            here = 2 * radius * np.cos(angle)
            y = (1 - here + radius**2) * x
            y += turn * expected[-1] - radius**2 * expected[-2]
            expected.append(y)
            turn = here
        expected = expected[2:]
    found = voice.formant_filter(source, formants, rate)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
