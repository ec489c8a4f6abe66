"""What may be said about a method from a handful of seeds: intervals and paired tests.

Everything is defined, and free of warnings, for one run, for equal runs and for none: what one
run cannot tell is NaN, and where all differences are the same the limits of the formulas are
given (p = 1 without a difference, p = 0 and an infinite effect with one).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Table = NDArray[np.float64]

#: Of all intervals here.
CONFIDENCE = 0.95

#: Differences closer together than this share of the values are rounding, not spread.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Mean:
    """A mean over ``n`` runs (NaN without runs).

    Attributes:
        half_width: Of the 95 % Student-t interval around the mean; NaN for fewer than two runs.
    """

    n: int
    mean: float
    half_width: float


@dataclass(frozen=True)
class PairedTest:
    """What is known of a difference between two methods over the seeds that both ran with.

    Attributes:
        difference: Mean of the differences, with its interval.
        p: Two-sided p of the paired t-test; NaN for fewer than two pairs.
        effect_size: Cohen's d_z, the mean difference in standard deviations of the differences.
    """

    difference: Mean
    p: float
    effect_size: float


def mean_of(values: ArrayLike) -> Mean:
    """Return the mean of some runs, ``[n]``, with its interval."""
    array = np.asarray(values, np.float64)
    count = len(array)
    if count < 2:
        return Mean(count, float(array[0]) if count else math.nan, math.nan)
    from scipy.stats import sem, t

    half_width = t.ppf((1 + CONFIDENCE) / 2, count - 1) * sem(array)
    return Mean(count, float(array.mean()), float(half_width))


def means_of(values: Sequence[Sequence[ArrayLike]]) -> tuple[Table, Table]:
    """Return the means of a table's cells, ``[n]`` runs each, and their half widths."""
    means = [[mean_of(cell) for cell in row] for row in values]
    arrays = np.array([[(mean.mean, mean.half_width) for mean in row] for row in means])
    return arrays[..., 0], arrays[..., 1]


def paired_test(ours: ArrayLike, theirs: ArrayLike) -> PairedTest:
    """Test whether two methods differ, ``[n]`` runs each of the same seeds in the same order."""
    first, second = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    differences = first - second
    if len(differences) < 2:
        return PairedTest(mean_of(differences), math.nan, math.nan)
    largest = max(np.abs(first).max(), np.abs(second).max())
    if np.ptp(differences) <= ROUNDING * largest:
        # Without spread there is no t-test; these are its limits.
        common = float(differences.mean())
        differs = abs(common) > ROUNDING * largest
        return PairedTest(
            Mean(len(differences), common if differs else 0.0, 0.0),
            0.0 if differs else 1.0,
            math.copysign(math.inf, common) if differs else 0.0,
        )
    from scipy.stats import ttest_rel

    p = float(ttest_rel(first, second).pvalue)
    return PairedTest(mean_of(differences), p, float(differences.mean() / differences.std(ddof=1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for several comparisons (Holm 1979), in the order given.

    Tests that could not be made (NaN) stay NaN and do not count as comparisons.
    """
    corrected = np.array(p_values, np.float64)
    made = corrected.argsort()[: np.isfinite(corrected).sum()]  # (NaN comes last)
    times = corrected[made] * np.arange(len(made), 0, -1)
    corrected[made] = np.maximum.accumulate(times).clip(max=1)
    values: list[float] = corrected.tolist()
    return values
