"""A small world of pictures, its people's dialogs, and small models that were trained on it."""
