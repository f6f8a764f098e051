"""How much fusion helps machines: networks retrained on the images of each method, and compared."""
