"""Compares runs by their files: repetition, defects, significance, tables, figures, report."""
