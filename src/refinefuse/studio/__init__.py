"""The studio: a local web page with the whole engine behind it."""
