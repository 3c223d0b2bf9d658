"""The index: a corpus, and the vectors of its images, on disk or imported."""
