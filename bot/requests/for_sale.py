"""What is for sale: the model, its lengths and formats. Users choose; the catalogue sets the price."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from pipeline.ledger.records import Run
from pipeline.ledger.users import Preferences
from providers.callbacks import callback_url
from providers.catalogue import VideoModel, input_of, price_microusd
from steps.check_limits import Request

UNLISTED_SECONDS = (4, 8, 12)
UNLISTED_SIZES = ("720x1280", "1280x720")
CHOICES_MAX = 4  # buttons in a row


@dataclass(frozen=True)
class ForSale:
    """`demo`: the provider is the simulator, and every message about money says so."""

    model: VideoModel
    base_url: str
    key_fingerprint: str
    create_body: str
    seconds: int
    size: str
    demo: bool = False
    public_url: str | None = None
    others: tuple["ForSale", ...] = ()  # what else users may choose

    @property
    def all(self) -> tuple["ForSale", ...]:
        """Everything that users may choose, the default first."""
        return (self, *self.others)

    def of(self, offer: str | None) -> "ForSale":
        """The offer of this name; the default for None, or for one that is no longer for sale."""
        return next((each for each in self.others if each.model.offer == offer), self)

    def for_run(self, run: Run) -> "ForSale":
        """The offer that the run was ordered from; the default if it is no longer for sale."""
        return next((each for each in self.all if each.sold(run)), self)

    def sold(self, run: Run) -> bool:
        here = (self.model.provider, self.model.name, self.base_url, self.key_fingerprint)
        return here == (run.provider, run.model, run.base_url, run.key_fingerprint)

    @property
    def lengths(self) -> tuple[int, ...]:
        """At most CHOICES_MAX: the shortest, the usual, the longest, and those that are farthest from all of these."""
        every = self.model.seconds or UNLISTED_SECONDS
        shown = {every[0], self.length_for(None), every[-1]} & set(every)
        while len(shown) < min(CHOICES_MAX, len(every)):
            left = [seconds for seconds in every if seconds not in shown]
            shown.add(max(left, key=lambda seconds: min(abs(seconds - each) for each in shown)))
        return tuple(sorted(shown))

    @property
    def sizes(self) -> tuple[str, ...]:
        """The first size of each shape: the buttons only name vertical, horizontal and square."""
        shapes: dict[str, str] = {}
        for size in (self.size, *(self.model.sizes or UNLISTED_SIZES)):
            if not self.model.sizes or size in self.model.sizes:
                shapes.setdefault(shape_of(size), size)
        order = ("vertical", "horizontal", "square")
        return tuple(shapes[shape] for shape in order if shape in shapes)

    def matches(self, seconds: int, size: str) -> bool:
        lengths = self.model.seconds or UNLISTED_SECONDS
        return seconds in lengths and size in (self.model.sizes or (*UNLISTED_SIZES, self.size))

    def length_for(self, wanted: int | None) -> int:
        """The available length nearest to the wanted one, or to the default if none is wanted."""
        wanted = wanted or self.seconds
        return min(self.model.seconds or (wanted,), key=lambda seconds: (abs(seconds - wanted), seconds))

    def size_for(self, wanted: str | None) -> str:
        for size in (wanted, self.size):
            if size and (not self.model.sizes or size in self.model.sizes):
                return size
        return self.model.sizes[0]

    def price(self, seconds: int, size: str) -> int:
        """In micro-dollars."""
        return price_microusd(self.model, seconds, size)

    def input(self, seconds: int, size: str) -> dict[str, Any]:
        """What the model is asked for besides the prompt, by its provider's names."""
        return input_of(self.model, seconds, size)

    def request(
        self,
        prompt: str,
        user: str,
        key: str,
        audience: Mapping[str, Any],
        *,
        chosen: Preferences,
        confirm: bool,
        again: bool = False,
    ) -> Request:
        """Everything that `reserve` needs for one request."""
        seconds, size = self.length_for(chosen.seconds), self.size_for(chosen.size)
        return Request(
            key=key,
            call_id=uuid4(),
            user_id=user,
            prompt=prompt,
            language=str(audience["language"]),
            audience=audience,
            model=self.model.name,
            seconds=seconds,
            size=size,
            asked_seconds=None,
            asked_size=None,
            create_body=self.create_body,
            price_microusd=self.price(seconds, size),
            bills_failed=not self.model.failed_renders_free,
            base_url=self.base_url,
            key_fingerprint=self.key_fingerprint,
            confirm=confirm,
            again=again,
            provider=self.model.provider,
            input=self.input(seconds, size),
            callback_url=callback_url(self.public_url, self.model.provider, uuid4().hex),
        )


def shape_of(size: str) -> str:
    """vertical, horizontal or square, from WIDTHxHEIGHT."""
    width, height = dimensions(size)
    return "square" if width == height else "vertical" if width < height else "horizontal"


def dimensions(size: str) -> tuple[int, int]:
    width, _, height = size.partition("x")
    return int(width), int(height)
