"""Kedro datasets for what no well-kept dataset class reads: labelled images.

Each one loads a :class:`guided_dml.types.LabelledImages` and saves nothing.
"""
