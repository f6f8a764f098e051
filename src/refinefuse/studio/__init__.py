"""The studio: a local web interface to the fusion engine."""
