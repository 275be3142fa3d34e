"""The nodes that make, keep and apply a motion."""
