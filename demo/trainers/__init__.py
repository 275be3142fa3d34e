"""What trained the demo's model."""
