"""What `bothways init` proposes: a sync.yaml, from what a backend tells of its models and what Firestore's documents hold."""
