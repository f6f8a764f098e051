"""The plug-in of the image viewer napari: `napari.yaml` declares it, napari loads it."""
