"""Scores of the classes that the nearest neighbours predict."""

from __future__ import annotations

from torch import Tensor


def classification_scores(labels: Tensor, predicted: Tensor) -> dict[str, float]:
    """Return the macro F1 and the accuracy of a 1-nearest-neighbour classifier.

    The macro averages run over the classes of ``labels``.

    Args:
        labels: int64 ``[N]``.
        predicted: int64 ``[N]``.

    Returns:
        ``f1`` and ``accuracy``, each in [0, 1].
    """
    from sklearn.metrics import accuracy_score, f1_score

    truth, guess = labels.cpu().numpy(), predicted.cpu().numpy()
    present = labels.unique().cpu().numpy()
    f1 = f1_score(truth, guess, labels=present, average="macro", zero_division=0)
    return {"f1": float(f1), "accuracy": float(accuracy_score(truth, guess))}
