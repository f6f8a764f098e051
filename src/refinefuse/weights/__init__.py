"""The weights that ship with the package, and where any weights lie on disk. This part knows files, not networks."""
