"""The network of the paper's abstract: pure torch, tensors in, tensors out."""
