"""LaVie's three models (arXiv 2309.15103), in the order of its cascade:

files        which of the files in models/lavie a node offers, and what it says of a wrong one
load, steps  the base as a MODEL, and the steps of its own samplers
interpolate  three frames between each two
upscale      four times as large
"""
