"""The person of a case: asks once, presses Create once, and nothing more, whatever happens to the bot.

In       a simulated Telegram, and when it redelivers updates
Out      whether anything is still pending; the chat as this person sees it
Effects  one message, one button press; redelivered updates
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.bot.chat import Person, person
from tests.support.fixtures import Simulator

PROMPT = "a paper boat in the rain"
CREATE = "Create ·"


class Moment(StrEnum):
    """When updates are redelivered."""

    ASKED = "before the tap"
    TAPPED = "after the tap"
    SERVED = "after the delivery"


@dataclass
class Visitor:
    me: Person
    order_request: dict[str, Any]
    again: frozenset[Moment]
    tap: dict[str, Any] | None = None
    owed: dict[int, int] = field(default_factory=dict)  # update id -> how often it must have been handed out

    @property
    def updates(self) -> list[int]:
        return [each["update_id"] for each in (self.order_request, self.tap) if each is not None]

    def look(self) -> None:
        """Press Create as soon as the button appears; once."""
        if self.tap is not None:
            return
        for view in self.me.views():
            labels = [button["text"] for row in view.get("keyboard") or [] for button in row]
            if any(CREATE in label for label in labels):
                self.come_again(Moment.ASKED)
                self.tap = self.me.tap(CREATE, view["message_id"])
                self.come_again(Moment.TAPPED)
                return

    def come_again(self, moment: Moment) -> bool:
        """Make Telegram redeliver all updates, if they are due at this moment."""
        if moment not in self.again:
            return False
        self.again -= {moment}
        for update_id in self.updates:
            self.me.simulator.control("POST", "/_sim/telegram/redeliver", {"update_id": update_id})
            self.owed[update_id] = self.owed.get(update_id, 1) + 1
        return True

    def fates(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.me.simulator.control("GET", "/_sim/telegram/updates")["updates"]
        return found

    def heard(self) -> bool:
        """Whether every update is confirmed, and every redelivery was handed out."""
        return all(
            fate["confirmed_at"] is not None and len(fate["handed_out"]) >= self.owed.get(fate["update_id"], 1)
            for fate in self.fates()
        )

    def cards(self, views: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Messages that answer the request, without its video."""
        return [
            view for view in views if view.get("reply_to") == self.order_request["message_id"] and not view.get("video")
        ]


def says_the_end(card: dict[str, Any]) -> bool:
    return any(sign in card.get("text", "") for sign in ("Here it is, below", "❌"))


def arrive(simulator: Simulator, again: frozenset[Moment] = frozenset()) -> Visitor:
    """Somebody writes /create."""
    me = person(simulator, "Ben")
    return Visitor(me, me.say(f"/create {PROMPT}"), again)
