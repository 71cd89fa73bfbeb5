"""Models written for other runtimes, run there, and compared before they get their names."""
