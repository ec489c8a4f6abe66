"""Images and what a method learns from in; the student, a network for unseen images, out."""
