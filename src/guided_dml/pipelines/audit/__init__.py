"""Labelled images in; likely wrong labels, duplicates and leaks out."""
