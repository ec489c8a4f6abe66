"""A trained network in; its embeddings, scores and figures out."""
