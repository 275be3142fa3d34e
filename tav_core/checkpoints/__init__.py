"""From the disk to frozen modules: folders, single files, families, control nets, CLIP files."""
