"""Training: what joins what is kept to where it is kept."""
