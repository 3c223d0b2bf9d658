"""What is talked about, and where it comes from: dialogue files, targets, scenes, what can be fetched."""
