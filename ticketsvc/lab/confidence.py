"""Confidence bounds on a share of which a sample was seen."""

import math
from statistics import NormalDist


def wilson_interval(hits: int, trials: int, confidence: float) -> tuple[float, float]:
    """Return Wilson's score interval for the share of which *hits* of *trials* were seen."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = hits / trials
    centre = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    low = 0.0 if hits == 0 else (centre - half) / scale
    high = 1.0 if hits == trials else (centre + half) / scale
    return low, high


def upper_bound(hits: int, trials: int, confidence: float) -> float:
    """Return Clopper and Pearson's one-sided upper bound on that share.

    It is the share at which no more than *hits* are seen with the probability 1 - *confidence*.
    """
    if hits == trials:
        return 1.0
    low, high = hits / trials, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        if _at_most(hits, trials, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(hits: int, trials: int, share: float) -> float:
    """Return the probability of no more than *hits* in *trials* that hit with this *share*."""
    if share <= 0 or share >= 1:
        return float(share <= 0)
    logarithm = trials * math.log1p(-share)
    total = math.exp(logarithm)
    for count in range(1, hits + 1):
        logarithm += math.log((trials - count + 1) / count) + math.log(share) - math.log1p(-share)
        total += math.exp(logarithm)
    return min(total, 1.0)
