"""The experiments of a paper as one command: methods x datasets x metrics, tables, figures and a report."""
