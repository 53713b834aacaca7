"""A stand-in for OJS 3.3 to 3.6: an HTTP server that answers as the facts of its REST API say, traps included. No OJS.

`python -m ojs` (with `tests` on the Python path) serves one installation of each version; `curl` and a token do the rest.
"""
