"""What a SavedModel's functions are: their operations, as values, before anything is run."""
