"""What processes are made of: `app.py` makes one of all parts, or an office and workers of some each."""
