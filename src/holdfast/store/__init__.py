"""Where a run is kept: durable files that know buffers and JSON, no Keras and no backend."""
