"""PotentialFunction by the path that it had in an earlier ffpt.

OpenMM writes the path of a PythonForce's function into the XML of a System, so files of before are read through this.
"""

from ffpt_openmm.forces.pythonforce import PotentialFunction

__all__ = ["PotentialFunction"]
