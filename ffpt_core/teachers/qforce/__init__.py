"""Teachers from Q-Force: the eight species of hydrogen combustion, and files of any molecule."""
