"""From a file to a living model and back: what alone of the formats imports Keras."""
