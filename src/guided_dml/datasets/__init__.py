"""Kedro datasets for what no well-kept dataset class reads or writes.

A source of images loads a :class:`guided_dml.types.LabelledImages` and saves nothing.
"""
