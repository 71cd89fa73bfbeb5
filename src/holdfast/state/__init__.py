"""What a snapshot keeps: variables, random state, callback state, history so far."""
