"""Files of labelled frames: a module for each format."""
