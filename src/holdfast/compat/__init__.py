"""Yesterday's programs: run as they stand, on today's Keras, and durable."""
