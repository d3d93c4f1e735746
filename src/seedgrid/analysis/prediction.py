"""What a pair of seeds promises: scores of pairs that were not started, predicted from those that were."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from seedgrid.analysis.rounding import significant_decimals

# Shares of variance of init and of order that are averaged over, in steps of 0.1; what is left, at least 0.1, is the
# residual's. No share is 0, so that all shares give a system of equations of the same size.
_SHARES = np.array([(init, order) for init in range(5, 86, 10) for order in range(5, 91 - init, 10)]) / 100


def predict_pairs(partial: ArrayLike, persistence: float = 1.0) -> NDArray[np.float64]:
    """Final scores, up to what all pairs have in common, predicted for every pair from the partial scores of some.

    Assumed is an additive model with crossed random effects: the partial score of a pair is the mean, plus the effect
    of its init seed, plus that of its order seed, plus a residual, which is both the interaction of the two seeds and
    what the rest of training will undo. Training adds the same to all pairs. Seed effects last to the end; of the
    residual the share ``persistence`` does. Then

    - a pair not started is expected to reach mean + init effect + order effect;
    - a started one the same, plus ``persistence`` times what its own score lies above that. With the default of 1 that
      is its own score, and ranking started pairs by it is the paper's rule. No single rung can tell the persistence,
      and ranking with a smaller value that is the right one gained nothing in ``benchmarks/rank_by_seeds.py``.

    Effects are best linear unbiased predictions (Henderson's mixed model equations: Henderson 1975; Searle, Casella and
    McCulloch 1992, chapter 7), shrunken towards 0 the more, the smaller the seeds' share of the variance and the
    fewer the trials of the seed. The rungs that this is for have too few trials to estimate the shares by: estimates
    are often 0, and where trials are no more than seeds there are none. So the prediction is the average over all
    shares, each weighted by its restricted likelihood: the posterior mean with normal effects and flat priors for the
    mean, the logarithm of the total variance, and the shares (Harville 1974). In ``benchmarks/rank_by_seeds.py``, with
    a fifth of the variance each from init and order that last, starting what it names gained 0.19 standard deviations
    on 10 x 10 grids and 0.23 on 25 x 25; with estimated variances it was 0.11 and 0.01.

    Args:
        partial: (inits, orders), the best score so far of each pair at the rung, NaN for a pair that was not started.
            A trial that was started and has no finite score needs one, such as the majority class's: with NaN it
            counts as not started. Any design will do; where each seed occurs once, what crosses two good trials is
            predicted best. Constant scores predict that score everywhere.
        persistence: share of the residual that lasts to the end of training, from 0 to 1.

    Returns:
        (inits, orders), finite everywhere, in units of the partial score.

    Raises:
        ValueError: ``partial`` is not two-dimensional, has no trial, or an infinite score; ``persistence`` is not
            between 0 and 1.
    """
    scores = np.asarray(partial, dtype=float)
    if scores.ndim != 2:
        raise ValueError(f"partial scores have shape {scores.shape}; give inits x orders")
    if np.isinf(scores).any():
        raise ValueError("partial scores hold an infinite score; give NaN for a pair that was not started")
    if not 0 <= persistence <= 1:
        raise ValueError(f"persistence is {persistence}; give a number from 0 to 1")
    started = np.isfinite(scores)
    if not started.any():
        raise ValueError(f"the grid of shape {scores.shape} has no started pair: all its cells are NaN")
    values = scores[started]
    if np.ptp(values) == 0:
        return np.full(scores.shape, values[0])
    centred = values - values.mean()

    inits, orders = scores.shape
    rows, columns = np.nonzero(started)
    design = np.hstack([np.ones((values.size, 1)), np.eye(inits)[rows], np.eye(orders)[columns]])
    # In units of the residual's variance: the effects' own variances are the ratios of the shares.
    residual = 1 - _SHARES.sum(axis=1, keepdims=True)
    penalties = np.repeat(residual / _SHARES, [inits, orders], axis=1)
    equations = np.tile(design.T @ design, (len(_SHARES), 1, 1))
    diagonal = np.arange(1, 1 + inits + orders)
    equations[:, diagonal, diagonal] += penalties
    right = design.T @ centred
    solutions = np.linalg.solve(equations, right[:, None])[..., 0]

    squares = (centred @ centred - solutions @ right) / residual[:, 0]
    log_determinant = (
        np.linalg.slogdet(equations)[1] - np.log(penalties).sum(axis=1) + (values.size - 1) * np.log(residual[:, 0])
    )
    weights = softmax(-(log_determinant + (values.size - 1) * np.log(squares)) / 2)
    mean, init_effects, order_effects = np.split(weights @ solutions, [1, 1 + inits])
    additive = values.mean() + mean + init_effects[:, None] + order_effects
    return np.where(started, persistence * scores + (1 - persistence) * additive, additive)


def promising_pairs(partial: ArrayLike, count: int, seed: int = 0) -> NDArray[np.intp]:
    """The pairs not started that ``predict_pairs`` expects most of.

    Args:
        partial: as for ``predict_pairs``.
        count: how many, from 0 to the number of pairs not started.
        seed: of the generator that orders equals, such as all pairs when every trial still has the same score.

    Returns:
        (count, 2): indices of init and order, the most promising pair first.

    Raises:
        ValueError: ``count`` is out of range, or ``partial`` is as ``predict_pairs`` refuses.
    """
    predicted = predict_pairs(partial)
    pairs = np.argwhere(np.isnan(np.asarray(partial, dtype=float)))
    if not 0 <= count <= len(pairs):
        raise ValueError(f"count is {count}; give 0 to {len(pairs)}, the number of pairs not started")
    pairs = np.random.default_rng(seed).permutation(pairs)
    # Equal predictions may differ by rounding, which must not order them.
    falling = -np.round(predicted[tuple(pairs.T)], significant_decimals(partial))
    return pairs[np.argsort(falling, kind="stable")][:count]
