"""Every contact with ComfyUI's internals."""
