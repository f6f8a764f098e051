"""Register one image of a pair to the other, and assess whether the result is reliable."""
