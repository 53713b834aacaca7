"""A stand-in for a Bakaláři school: written from notes about its API, with the traps in it. It is no Bakaláři."""
