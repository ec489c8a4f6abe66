"""Triplets in; GEMINI, the master, out."""
