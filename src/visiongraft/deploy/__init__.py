"""Networks at work: predictions."""
