"""Files that targets are read from, a file for each format."""
