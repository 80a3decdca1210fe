"""One simulated Telegram: bots, people, groups, and their messages.

In       settings
Out      `Telegram`, kept under `TELEGRAM` in the aiohttp application
Raises   Refused for invalid tokens
Effects  sends every message to listeners

Everything is looked up by key: a call takes as long in the ten thousandth chat as in the first.
"""

import random
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from simulator.settings import Settings
from simulator.telegram.api.flood_limits import FloodControl
from simulator.telegram.api.refusals import Refused
from simulator.telegram.api.updates import UpdateQueue
from simulator.telegram.api.webhook import Webhook
from simulator.telegram.chats import Chat, Message, User, Video
from simulator.telegram.control.events import Listeners
from simulator.telegram.control.journal import Journal
from simulator.telegram.control.views import view

USERNAME = "onetake_bot"
BOT_NAME = "onetake"
FIRST_PERSON_ID = 1001
FIRST_GROUP_ID = -1_001_000_000_001
QUERY_SECONDS = 60.0

_TOKEN = re.compile(r"(\d{1,19}):[A-Za-z0-9_-]{3,}", re.ASCII)


@dataclass(slots=True, eq=False)
class Query:
    """A button press awaiting its answer."""

    id: str
    sender: User
    chat_id: int
    at: float
    answered: bool = False


class Bot:
    """One bot. The first exists before its token is known, so that messages to it are queued."""

    def __init__(self) -> None:
        self.id = 0
        self.updates = UpdateQueue()
        self.webhook: Webhook | None = None
        self.flood = FloodControl()
        self.started: set[int] = set()
        self.blocked: set[int] = set()
        self.queries: dict[str, Query] = {}
        self.videos: dict[str, Video] = {}
        self.video_paths: dict[str, Video] = {}
        self.commands: dict[tuple[str, str], list[dict[str, str]]] = {}
        self.chat_instance = random.getrandbits(62)

    @property
    def user(self) -> User:
        """The bot as a sender."""
        return User(self.id, BOT_NAME, is_bot=True, username=USERNAME)

    def shelve(self, make: Callable[[str, str, str], Video]) -> Video:
        """Store an upload under a new file_id, unique id and path."""
        file_id = "BAAC" + secrets.token_urlsafe(48)
        video = make(file_id, "Ag" + secrets.token_urlsafe(9), f"videos/file_{len(self.videos)}.mp4")
        self.videos[file_id] = self.video_paths[video.path] = video
        return video


class Telegram:
    """The state shared by all routes."""

    def __init__(self, settings: Settings) -> None:
        self.tokens = settings.telegram_tokens
        self.upload_bytes_max = settings.telegram_upload_bytes_max
        self.enforces_limits = settings.telegram_limits
        self.people: dict[int, User] = {}
        self.names: dict[str, int] = {}
        self.chats: dict[int, Chat] = {}
        self.bots: list[Bot] = [Bot()]
        self.journal = Journal()
        self.listeners = Listeners()
        self._next_person, self._next_group = FIRST_PERSON_ID, FIRST_GROUP_ID

    def bot_of(self, token: str) -> Bot:
        """The bot of a token, created at its first use; a renewed token means the same bot."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise Refused(404, "Not Found")
        if self.tokens is not None and token not in self.tokens:
            raise Refused(401, "Unauthorized")
        number = int(match.group(1))
        known = next((bot for bot in self.bots if bot.id == number), None)
        if known is not None:
            return known
        bot = self.bots[0]
        if bot.id:
            bot = Bot()
            self.bots.append(bot)
        bot.id = number
        return bot

    def bot_numbered(self, number: int | None) -> Bot | None:
        """The bot that a control call names; the first one by default."""
        if number is None:
            return self.bots[0]
        return next((bot for bot in self.bots if bot.id == number), None)

    def person_named(self, name: str, language_code: str | None, wanted_id: int | None) -> User:
        """The person of that name, created if unknown."""
        number = self.names.get(name)
        if number is None:
            number = wanted_id if wanted_id is not None else self._free_person_id()
            self.names[name] = number
            self.chats[number] = Chat(number, name, (number,))
            self.people[number] = User(number, name, language_code=language_code or "en")
        elif language_code is not None:
            self.people[number] = User(number, name, language_code=language_code)
        return self.people[number]

    def open_group(self, title: str, members: tuple[int, ...]) -> Chat:
        """Create a group; every bot is a member."""
        chat = Chat(self._next_group, title, members)
        self._next_group -= 1
        self.chats[chat.id] = chat
        return chat

    def say(self, chat: Chat, author: User, text: str = "") -> Message:
        """A message with the next id, not posted yet."""
        return Message(chat, chat.last_id + 1, author, int(time.time()), text)

    def post(self, message: Message) -> Message:
        """Add a message to its chat and send it to listeners."""
        message.chat.take(message)
        self.show(message)
        return message

    def show(self, message: Message) -> None:
        """Send a message's current state to listeners."""
        if self.listeners:
            self.listeners.tell("message", {"chat_id": message.chat.id, "view": view(message)})

    def _free_person_id(self) -> int:
        while self._next_person in self.people:
            self._next_person += 1
        return self._next_person


TELEGRAM = web.AppKey("telegram", Telegram)
