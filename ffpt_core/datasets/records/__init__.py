"""Data sets that ffpt knows by name: those that come with it, and public ones."""
