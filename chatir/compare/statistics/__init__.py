"""Tests, intervals and bands; what differs between the sides of a comparison, and what failures could change."""
