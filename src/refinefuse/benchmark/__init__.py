"""The experiments of a paper as one command: methods x data sets x metrics, tables, figures and a report."""
