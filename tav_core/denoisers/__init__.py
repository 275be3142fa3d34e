"""What predicts the noise of (latents, timestep, text): the UNet, windows, control nets, guidance."""
