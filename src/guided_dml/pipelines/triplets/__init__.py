"""The training set in; the fixed triplets that GEMINI learns from out."""
