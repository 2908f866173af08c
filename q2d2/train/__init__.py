"""Training: data, losses, pitch targets and the loop. Needs the `train` extra."""
