"""What stops a deployment, in one sentence with what mends it."""


class DeployError(Exception):
    """Something is not as it must be; the message says what, and the command that mends it."""


class UsageError(DeployError):
    """deploy.sh was called wrongly."""
