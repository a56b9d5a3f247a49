"""The 19 reactions of hydrogen combustion: what they are, their molecules, variables and inputs."""
