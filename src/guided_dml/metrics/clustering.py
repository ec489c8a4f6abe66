"""How well k-means finds the classes again."""

from __future__ import annotations

from torch import Tensor


def nmi(embeddings: Tensor, labels: Tensor, *, seed: int) -> float:
    """Return the normalised mutual information of k-means clusters and classes.

    As many clusters as classes, the best of ten starts; normalised by the arithmetic mean of
    the two entropies (method of the paper's section 4, on the query embeddings).

    Args:
        embeddings: float ``[N, D]``.
        labels: int64 ``[N]``.
        seed: Seed of the starts.

    Returns:
        In [0, 1].
    """
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import normalized_mutual_info_score
    from threadpoolctl import threadpool_limits

    k_means = KMeans(n_clusters=len(labels.unique()), n_init=10, random_state=seed)
    # One thread: k-means adds up in the order in which its threads end.
    with threadpool_limits(1), warnings.catch_warnings():
        # Fewer distinct points than clusters is what a collapsed embedding looks like: a low
        # score says so already.
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters = k_means.fit_predict(embeddings.cpu().numpy())
    found = normalized_mutual_info_score(labels.cpu().numpy(), clusters)
    return min(1.0, float(found))  # (which rounding makes of perfect clusters as well)
