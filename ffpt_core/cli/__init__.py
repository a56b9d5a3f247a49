"""The ffpt command."""
