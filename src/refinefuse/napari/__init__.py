"""Plugin for the image viewer napari, declared in `napari.yaml`."""
