"""The demo's world: what is drawn in stills and clips, and the words for it."""
