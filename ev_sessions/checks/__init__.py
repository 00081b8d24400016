"""Asset checks: thin wrappers around what the warehouse answers."""
