"""What trained models are used for: latent files, grids of pictures."""
