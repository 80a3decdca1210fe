"""`onetake check`: what is looked at, part by part."""
