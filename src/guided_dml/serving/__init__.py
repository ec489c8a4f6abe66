"""A page and an API around one exported model, on this machine; torch is not needed."""
