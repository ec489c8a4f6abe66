"""One training loop for the master, the student and every baseline, and what it stands on."""
