"""Training: recipes, batches, losses, discriminators and the loop. Needs the extra `train`."""
