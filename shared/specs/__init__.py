"""What sync.yaml says of each kind of peer."""
