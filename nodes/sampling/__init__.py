"""The nodes that invert and edit."""
