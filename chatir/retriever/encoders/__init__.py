"""Encoders: dialogs and images to unit vectors of one space."""
