"""pixeld: a self-hosted tracking server for partner programmes."""

__version__ = "0.1.0"
