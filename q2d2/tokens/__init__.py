"""Whole corpora as tables of tokens, and back: Parquet that `datasets`, pandas and a training loop read as it is."""
