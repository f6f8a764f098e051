"""Score files and folders of fused pictures, and print the tables."""
