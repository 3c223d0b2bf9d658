"""What made chatir, and is not part of it."""
