"""What a key looks like, wherever it turns up: in a template, a recording, an answer."""

import re

KEY_IN_TEXT = re.compile(r"\b(sk|gsk|xai|sb_secret|ghp|eyJ)[-_]?[A-Za-z0-9_\-.]{16,}")
