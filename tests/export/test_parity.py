"""What counts as the same answers."""

import numpy as np

from pochitrain.export.parity import compare


def test_the_same_logits_are_proven() -> None:
    logits = np.array([[1.0, 2.0], [3.0, 0.0]], dtype=np.float32)
    parity = compare(logits, logits + np.float32(0.25))
    assert parity.proven
    assert parity.max_abs_logit_difference == 0.25
    assert parity.top1_agreement == 100


def test_confidence_must_agree_too() -> None:
    """The same classes, but from a model that is twice as sure of itself."""
    original = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (10, 1))
    parity = compare(original, 2 * original)
    assert parity.top1_agreement == 100
    # sigmoid(2) - sigmoid(1)
    np.testing.assert_allclose(parity.max_abs_confidence_difference, 0.1497384, rtol=1e-5)
    assert parity.confidence_agreement == 0
    assert not parity.proven


def test_one_in_a_thousand_is_the_limit() -> None:
    original = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (1000, 1))
    exported = original.copy()
    exported[0] = [0.0, 1.0]
    assert compare(original, exported).proven  # 99.9 %
    exported[1] = [0.0, 1.0]
    assert not compare(original, exported).proven  # 99.8 %


def test_nan_and_nothing_prove_nothing() -> None:
    original = np.ones((4, 2), dtype=np.float32)
    exported = original.copy()
    exported[2, 1] = np.nan
    assert compare(original, exported).top1_agreement == 75
    assert not compare(original[:0], original[:0]).proven
