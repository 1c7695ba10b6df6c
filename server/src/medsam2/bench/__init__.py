"""Measurements: speed against the stock SAM2 predictor, and quality on open data."""
