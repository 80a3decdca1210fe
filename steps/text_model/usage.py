"""What one question to the text model has cost so far, and its last answer; instructor loses both with some errors.

In       each request as it is sent, and each completion as it comes
Out      how often was asked, and the tokens; a count that cannot be true is replaced by an upper estimate
Effects  none
"""

import json

from providers.json_numbers import number

# No more than this goes in or out with one call: what is sent is a few thousand tokens, the longest answers that a
# model gives have 128,000. A larger count would use up everybody's budget at a word of the endpoint.
TOKENS_MAX = 200_000


class Usage:
    def __init__(self) -> None:
        self.asks = 0
        self.tokens_in = 0
        self.tokens_out = 0
        self.last_completion: object = None
        self._sent_bytes = 0

    def on_ask(self, *_: object, **asking: object) -> None:
        self.asks += 1
        self._sent_bytes = _bytes_of(asking.get("messages"))

    def on_completion(self, completion: object) -> None:
        self.last_completion = completion
        usage, choices = getattr(completion, "usage", None), getattr(completion, "choices", None)
        self.tokens_in += _counted(getattr(usage, "prompt_tokens", None), self._sent_bytes)
        self.tokens_out += _counted(getattr(usage, "completion_tokens", None), _bytes_of(choices))

    def as_arguments(self) -> dict[str, int]:
        return {"tokens_in": self.tokens_in, "tokens_out": self.tokens_out, "asks": self.asks}


def _counted(told: object, text_bytes: int) -> int:
    """The count as told, 0 without one; if it cannot be true, as many as the text has bytes, for none has more."""
    if told is None:
        return 0
    count = number(told)
    if count is not None and 0 <= count <= TOKENS_MAX:
        return int(count)
    return min(text_bytes, TOKENS_MAX)


def _bytes_of(value: object) -> int:
    return len(json.dumps(value, default=repr))
