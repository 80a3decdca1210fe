"""The checks of `onetake check`, one module for each part."""
