"""Blind comparisons of two methods by people: which of two videos is more consistent, and which follows its text.

pairs.py finds the videos that belong together; page.py and page_parts.py make one page of them; server.py serves it and
takes answers; tally.py counts them.
"""
