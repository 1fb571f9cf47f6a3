"""Graphs and tables of a run, made from files on disk."""
