"""RefineFuse: fuse two aligned pictures of one scene that different sensors took."""

__version__ = "0.1.0"
