"""What reads a frame of the demo's world back: masks, silhouettes, scores."""
