"""What a result is worth: previews, reconstructions, and pages of scores."""
