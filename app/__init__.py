"""Build what a process needs from the settings: the only place where the parts are put together."""
