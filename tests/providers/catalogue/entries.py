"""Entries of a models.toml for tests."""

from pathlib import Path

PROVIDER_ENTRY = """
[[video]]
provider = "p"
name = "m"
usd_per_second = 0.1
seconds = [4]
duration = { form = "8s" }
input = { audio = true }
price_date = 2026-11-01
source = "s"
[video.sizes]
"720x1280" = { ratio = "9:16" }
"""
RETIRED = 'retired_on = 2026-11-01\nuse_instead = "p/other"\n'
TEXT_ENTRY = """
[[text]]
name = "t"
usd_per_million_tokens_in = 1
usd_per_million_tokens_out = 1
"""


def written(folder: Path, videos: str) -> Path:
    path = folder / "models.toml"
    path.write_text(videos + TEXT_ENTRY, encoding="utf-8")
    return path
