"""Many pairs on many machines, by Ray: what there is, what becomes of each, and what is done already."""
