"""What the tokens of a codec are worth: numbers in, numbers out. Knows nothing of files, models and tables."""
