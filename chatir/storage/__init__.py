"""What lies outside of the process: files, images in a folder, databases, plain data."""
