"""What may go wrong while the local stack starts."""


class StackError(Exception):
    """The stack cannot start or go on. The message is one sentence: what, where, and what to do."""
