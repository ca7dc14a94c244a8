"""What a person may ask for, and an auditor: erase it, export it, say what is held where."""
