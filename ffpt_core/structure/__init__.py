"""Where atoms are and which belong together: cells, pairs, neighbours, bonds, molecules."""
