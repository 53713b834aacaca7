"""What `bothways doctor` checks: small functions that look, change nothing, and return what they found as plain values."""
