"""Networks and the maths around them: attention, inflation, the noise schedule, VAE and text encoding, precision."""
