"""The version of ffpt: what setup.cfg, --version and the records of runs and potentials say."""

__version__ = "0.1.0"
