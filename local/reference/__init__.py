"""Writes the reference from the code: `make docs` writes the pages anew, and a test says where one has drifted."""
