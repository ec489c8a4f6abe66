"""The master (gemini) and the networks that are trained to embed unseen images (backbones)."""
