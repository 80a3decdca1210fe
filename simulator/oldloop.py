"""The accident: a small, faithful replica of the loop that onetake replaced. It buys from this simulated provider only.

A model is given tools and decides, turn after turn, which to call next; whatever it asks for is executed. Here the
model is a script of the run that cost $21: `generate_video` answers at once with a job that is `queued`, the model
takes that for "not done yet" and calls it again, seven times, every second time in other words.

In       the provider's base URL (with /v1) and a prompt; `python -m simulator.oldloop URL PROMPT`
Out      the ids of the jobs it was given; as JSON on standard output
Effects  one `client.videos.create()` with the SDK's defaults for each call of the video tool
"""

import asyncio
import json
import sys
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from openai import AsyncOpenAI, OpenAIError

# OpenAI's own endpoint is gone; the protocol is what gateways speak.
warnings.filterwarnings("ignore", message="The Sora API is scheduled", category=DeprecationWarning)

VIDEO_CALLS = 7  # of the one run that this project exists for
MODEL = "sim-1"
SECONDS: Literal["8"] = "8"


@dataclass(frozen=True)
class Call:
    """What the model asks for."""

    tool: str
    prompt: str


Buy = Callable[[str], Awaitable[str]]  # prompt -> job id; raises OpenAIError


def script(prompt: str) -> list[Call]:
    """Every call the model makes in one run, whatever the tools answer."""
    videos = [prompt if turn % 2 == 0 else f"{prompt}, take {turn}" for turn in range(VIDEO_CALLS)]
    before = [Call("check_limits", prompt), Call("validate_prompt", prompt)]
    return [*before, *(Call("generate_video", words) for words in videos), Call("write_caption", prompt)]


async def run_loop(prompt: str, generate_video: Buy) -> list[str]:
    """One run: executes every call. What goes wrong is told to the model, which goes on."""
    given = []
    for call in script(prompt):
        if call.tool != "generate_video":
            continue  # free: it only costs time
        try:
            given.append(await generate_video(call.prompt))
        except OpenAIError:
            continue
    return given


def default_create(sdk: AsyncOpenAI) -> Buy:
    """The paid call as everybody writes it."""

    async def create(prompt: str) -> str:
        return (await sdk.videos.create(prompt=prompt, model=MODEL, seconds=SECONDS)).id

    return create


async def _main(url: str, prompt: str) -> None:
    async with AsyncOpenAI(base_url=url, api_key="demo") as sdk:
        print(json.dumps({"jobs": await run_loop(prompt, default_create(sdk))}))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:3]))
