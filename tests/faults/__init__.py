"""The fault campaign: the real parts under load, broken at random, and the books balanced afterwards.

`python -m tests.faults --help` runs a long one; tests/flow/test_faults.py runs a short one.
"""
