"""What the second world is drawn with: a pen that fills smooth shapes on a large canvas."""
