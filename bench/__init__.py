"""Measurements of pixeld beside other servers, in one run on one machine. Never imported by pixeld."""
