"""runware. It speaks over a WebSocket."""

import asyncio
import sys

from runware import IVideoInference, Runware


async def main() -> None:
    runware = Runware(api_key="test-key", url=sys.argv[1].replace("http", "ws", 1))
    await runware.connect()
    await runware.videoInference(
        IVideoInference(model="klingai:5@3", positivePrompt="A lighthouse", duration=5, width=1080, height=1920)
    )


asyncio.run(main())
