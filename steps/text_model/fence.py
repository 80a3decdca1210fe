"""The fence around users' text: nothing inside it can close it. Pure."""

import re

FENCE_OPEN = "<<<user_text"
FENCE_CLOSE = "user_text>>>"
# Whatever a model could take for a mark, including other brackets, wide, Greek or Cyrillic letters, and invisible
# characters between them. Possessive, and matched only from the start of a row of brackets: linear in the length.
UNSEEN = "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]*+"
ALIKE = {
    "u": "u\uff55\u03c5",
    "s": "s\uff53\u0455",
    "e": "e\uff45\u0435",
    "r": "r\uff52\u0433",
    "t": "t\uff54\u0442",
    "x": "x\uff58\u0445",
}
BRACKET = "[<>\uff1c\uff1e\u2039\u203a\u00ab\u00bb\u27e8\u27e9\u3008\u3009\u300a\u300b\u226a\u226b\u276e\u276f]"
MARK_WORD = "".join(f"[{ALIKE[c]}]{UNSEEN}" if c in ALIKE else rf"[\s_\uff3f-]*+{UNSEEN}" for c in "user_text")
NEAR_MARK = re.compile(
    rf"(?<!{BRACKET}){BRACKET}++[\s]*+{UNSEEN}{MARK_WORD}|{MARK_WORD}[\s]*+{BRACKET}++", re.IGNORECASE
)


def fenced(text: str) -> str:
    """The text inside its fence. Marks in the text lose their brackets, so that only ours open or close it."""
    defused, marks = NEAR_MARK.subn("user_text", text)
    while marks:  # removing a mark may leave another one in the text around it
        defused, marks = NEAR_MARK.subn("user_text", defused)
    return f"{FENCE_OPEN}\n{defused}\n{FENCE_CLOSE}"
