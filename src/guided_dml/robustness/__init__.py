"""What the paper claims of embeddings and does not measure: shifted images, and their scores."""
