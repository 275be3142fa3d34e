"""What the commands can be told. commands.py lists them; each file beside it holds the options of one or a few.

settings.py makes options of settings' dataclasses, and reads them back. groups.py holds what several commands share.
"""
