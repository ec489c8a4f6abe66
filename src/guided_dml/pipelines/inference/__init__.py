"""New images in; what a trained network says of them out."""
