"""GEMINI in; its embeddings of the training set, the reduced hypothesis space, out."""
