"""Patterns of keys, for templates, recordings and answers."""

import re

KEY_IN_TEXT = re.compile(r"\b(sk|gsk|xai|sb_secret|ghp|eyJ)[-_]?[A-Za-z0-9_\-.]{16,}")
