"""The posterior, by PyMC."""
