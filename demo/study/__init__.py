"""Runs over many clips and variants: jobs, settings, tables, pictures."""
