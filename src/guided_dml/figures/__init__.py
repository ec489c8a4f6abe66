"""Pictures of embeddings, losses and neighbours: arrays in, figure out."""
