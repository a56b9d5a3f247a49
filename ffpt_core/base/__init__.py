"""Foundations without chemistry: errors, units, files, progress and resumable work."""
