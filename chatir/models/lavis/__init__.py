"""BLIP-2 by the real LAVIS, which cannot live beside chatir: an environment of its own, and a worker process in it."""
