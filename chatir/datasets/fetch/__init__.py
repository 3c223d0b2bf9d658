"""What others released, brought into the data folder: whole and unaltered, or not at all."""

from chatir.datasets.fetch.images import ImageReport, fetch_images
from chatir.datasets.fetch.released import fetch_released
from chatir.datasets.fetch.smollm2 import fetch_smollm2
from chatir.datasets.fetch.source import FetchError

__all__ = ["FetchError", "ImageReport", "fetch_images", "fetch_released", "fetch_smollm2"]
