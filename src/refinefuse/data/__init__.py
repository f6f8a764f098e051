"""Pairing of files, the dataset catalog, and training crops with augmentation."""
