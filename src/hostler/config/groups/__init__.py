"""The options, each written once, in groups of one subject."""
