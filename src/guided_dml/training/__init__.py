"""One training loop for the master and every method's student, and what it stands on."""
