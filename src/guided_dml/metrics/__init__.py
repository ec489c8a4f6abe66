"""One engine for the scores: retrieval (ours), clustering and classification (scikit-learn)."""
