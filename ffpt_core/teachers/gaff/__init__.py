"""GAFF teachers of any organic molecule."""
