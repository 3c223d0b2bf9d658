"""Models in this process: loaded, asked in batches, one prompt or one picture after another."""
