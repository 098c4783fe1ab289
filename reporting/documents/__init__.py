"""Printable reports: one finished, frozen value; JSON, figure, page and PDF follow from it.

``pfs_report`` holds the values and is cheap to import. ``pfs_analysis`` computes a report and loads
the numerical libraries; ``figure``, ``page`` and ``pdf`` each turn a report into one kind of file.
"""
