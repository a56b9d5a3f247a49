"""Whole studies as sequences of ffpt commands that a user could type, each with a page: one YAML file a study.

study.py says what such a file holds, perform.py runs it.
"""
