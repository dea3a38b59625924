"""The comparisons accept what is equal and refuse what is not: a check that cannot fail checks nothing."""

import unittest

import numpy as np

import compare


def holds(rows: list[compare.Row]) -> bool:
    """Whether every row holds."""
    return all(row.holds for row in rows)


class Comparisons(unittest.TestCase):
    """Each bound from both sides."""

    def test_values_hold_up_to_their_bound_and_not_above(self):
        base = np.zeros((3, 4))
        self.assertTrue(holds(compare.close("x", base + 0.9e-4, base)))
        self.assertFalse(holds(compare.close("x", base + 1.1e-4, base)))

    def test_one_bad_value_among_many_is_seen(self):
        base = np.zeros(10_000)
        bad = base.copy()
        bad[1234] = 2e-4
        self.assertFalse(holds(compare.close("x", bad, base)))

    def test_nan_never_holds(self):
        base = np.ones(3)
        bad = np.array([1.0, np.nan, 1.0])
        self.assertFalse(holds(compare.close("x", bad, base)))
        self.assertFalse(holds(compare.losses(bad, base)))
        self.assertFalse(holds(compare.gradients({"w": bad}, {"w": base})))

    def test_another_shape_never_holds(self):
        self.assertFalse(holds(compare.close("x", np.zeros((2, 3)), np.zeros((3, 2)))))
        self.assertFalse(holds(compare.losses(np.ones(19), np.ones(20))))
        self.assertFalse(holds(compare.gradients({"w": np.ones(4)}, {"w": np.ones((2, 2))})))

    def test_gradients_are_held_to_their_own_norm(self):
        theirs = {"a": np.full(4, 0.5), "b": np.full(4, 500.0)}
        self.assertTrue(holds(compare.gradients({**theirs, "a": theirs["a"] * 1.0009}, theirs)))
        # Norm 1 beside norm 1000: the bound of `a` is 1e-3 + 1e-3.
        self.assertFalse(holds(compare.gradients({**theirs, "a": theirs["a"] * 1.0021}, theirs)))

    def test_a_gradient_that_is_zero_in_exact_arithmetic_may_hold_noise(self):
        theirs = {"key.bias": np.zeros(4), "w": np.full(4, 0.5)}
        self.assertTrue(holds(compare.gradients({**theirs, "key.bias": np.full(4, 4e-7)}, theirs)))
        self.assertFalse(holds(compare.gradients({**theirs, "key.bias": np.full(4, 6e-7)}, theirs)))

    def test_a_missing_or_additional_gradient_fails(self):
        theirs = {"a": np.ones(2), "b": np.ones(2)}
        self.assertFalse(holds(compare.gradients({"a": np.ones(2)}, theirs)))
        self.assertFalse(holds(compare.gradients({**theirs, "c": np.ones(2)}, theirs)))

    def test_losses_hold_to_a_thousandth(self):
        theirs = np.linspace(1.8, 0.2, 20)
        self.assertTrue(holds(compare.losses(theirs * 1.0009, theirs)))
        late = theirs.copy()
        late[19] *= 1.002
        self.assertFalse(holds(compare.losses(late, theirs)))


if __name__ == "__main__":
    unittest.main()
