"""Raw images in; a checked training and test set, its split and its statistics out."""
