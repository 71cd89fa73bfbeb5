"""A torch `DataLoader` as a source of batches, on any backend."""
