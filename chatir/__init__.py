"""chatir simulates dialogs about images and compares the questioners that lead them."""

from chatir.dialog import Dialog, Reply, Round

__version__ = "0.1.0"
__all__ = ["Dialog", "Reply", "Round", "__version__"]
