"""How good a result is: previews, reconstructions, and a report with scores.

preview.py renders and scores previews of a tuning. reconstruct.py measures how much of a clip survives an inversion;
compare_inversions.py does so for every inversion method. report.py writes the report, one HTML page: page.py builds it,
charts.py draws its charts.
"""
