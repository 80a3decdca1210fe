"""The offers of models.toml for the terminal: what 8 s cost, what may be asked for, and how a lost answer ends.

A wide terminal gets a table, a narrow one a few lines per offer, a pipe one line; names and sizes are never cut.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.output.columns import print_columns
from pipeline.formatting import CENT, MICROUSD, usd
from providers.apis import facts_of, key_names, lost_answer_words
from providers.catalogue import UNLISTED_SECONDS, Catalogue, VideoModel, nearest_shape, price_microusd
from providers.orders import OPENAI

SECONDS_SHOWN = 8
GAP = 2  # between columns
TABLE_COLUMNS_MIN = 110  # the longest name, and the other columns beside it
PIPED_COLUMNS = 400
HEADINGS = (f"{SECONDS_SHOWN} s", "seconds", "picture, sound", "a lost answer")
NOT_FOUND = "a person"
UNKNOWN = "not known"
NEEDS = "needs "


@dataclass(frozen=True)
class ListedOffer:
    """An offer, priced at the length and size nearest to what the settings ask for.

    `needs`: the settings that are missing to buy it. None: this version does not know the provider.
    """

    model: VideoModel
    seconds: int
    size: str
    microusd: int
    lost_answer: str
    needs: tuple[str, ...] | None
    default: bool

    @property
    def configured(self) -> bool:
        return self.needs == ()

    @property
    def other_prices(self) -> dict[str, int]:
        """Micro-dollars for this length, by the sizes that cost something else."""
        prices = {size: price_microusd(self.model, self.seconds, size) for size in self.model.sizes}
        return {size: price for size, price in prices.items() if price != self.microusd}


def listed_offers(
    catalogue: Catalogue, default: VideoModel | None, size: str, configured: Collection[str], today: date
) -> list[ListedOffer]:
    """What can be bought today, the default first. `configured`: providers whose key is set."""
    on_sale = [model for model in catalogue.videos if not model.is_retired(today) and not model.local_only]
    others = on_sale if default is None else [model for model in on_sale if not _is_same(model, default)]
    first = [] if default is None else [_listed(default, size, configured, default=True)]
    return first + [_listed(model, size, configured, default=False) for model in others]


def _is_same(model: VideoModel, default: VideoModel) -> bool:
    """A price in the settings makes the default differ from its entry."""
    return (model.offer, model.sold_by, model.base_url) == (default.offer, default.sold_by, default.base_url)


def _listed(model: VideoModel, size: str, configured: Collection[str], *, default: bool) -> ListedOffer:
    seconds, possible = nearest_shape(model, SECONDS_SHOWN, size)
    missing = () if model.provider in configured else key_names().get(model.provider)
    price = price_microusd(model, seconds, possible)
    return ListedOffer(model, seconds, possible, price, _lost_answer(model), missing, default)


def _lost_answer(model: VideoModel) -> str:
    """A list that leaves jobs out, or shows no prompts, finds nothing by itself in the OpenAI Videos protocol."""
    if model.provider == OPENAI and not (model.list_shows_all and model.list_echoes_prompts):
        return NOT_FOUND
    facts = facts_of(model.provider)
    return UNKNOWN if facts is None else lost_answer_words(facts)


def print_offers_as_json(offers: Sequence[ListedOffer]) -> None:
    """One object a line. `usd_per_8s` is the price of `priced_seconds` and `priced_size`, the nearest possible.

    `usd_per_8s_at`: of that length at sizes that cost something else.
    """
    for offer in offers:
        model = offer.model
        shown = {
            "provider": model.provider,
            "model": model.name,
            "name": model.offer,
            "usd_per_8s": offer.microusd / MICROUSD,
            "usd_per_8s_at": {size: price / MICROUSD for size, price in offer.other_prices.items()},
            "priced_seconds": offer.seconds,
            "priced_size": offer.size,
            "seconds": list(model.seconds),
            "sizes": list(model.sizes),
            "image": model.takes_image,
            "sound": model.sound or None,
            "watermark": model.watermark,
            "price_date": model.price_date.isoformat() if model.price_date else None,
            "source": model.source,
            "lost_answer": offer.lost_answer,
            "configured": offer.configured,
            "default": offer.default,
        }
        typer.echo(json.dumps(shown, ensure_ascii=False))


def print_offers(offers: Sequence[ListedOffer], console: Console | None = None) -> None:
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPED_COLUMNS
        _print_lines(offers, console)
    elif console.width < TABLE_COLUMNS_MIN:
        _print_entries(offers, console)
    else:
        _print_table(offers, console)


def _print_table(offers: Sequence[ListedOffer], console: Console) -> None:
    """The sizes stand below the name, as a column of their own would be too narrow for two of them."""
    table = _table("offer, sizes", *HEADINGS)
    table.columns[0].min_width = max((len(offer.model.offer) for offer in offers), default=0)
    for offer in offers:
        name = Text(offer.model.offer, "bold" if offer.configured else "")
        below = "; ".join(part for part in (_sizes_words(offer), _note(offer)) if part)
        table.add_row(name.append(f"\n{below}", "not bold dim"), *_cells(offer))
    console.print(table)


def _print_lines(offers: Sequence[ListedOffer], console: Console) -> None:
    table = _table("offer", *HEADINGS, "sizes", "note")
    for offer in offers:
        table.add_row(offer.model.offer, *_cells(offer), _sizes_words(offer), _note(offer))
    console.print(table)


def _print_entries(offers: Sequence[ListedOffer], console: Console) -> None:
    for offer in offers:
        price, seconds, features, lost_answer = _cells(offer)
        if offer.seconds == SECONDS_SHOWN:
            price = f"{price} ({SECONDS_SHOWN} s)"
        parts = (price, f"{seconds} s", features, _note(offer))
        console.print(Text(offer.model.offer, "bold" if offer.configured else "", overflow="fold"))
        below = ("; ".join(part for part in parts if part), _sizes_words(offer), f"a lost answer: {lost_answer}")
        print_columns(((Text("  "), words) for words in below), console)


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, GAP, 0, 0), header_style="dim", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _cells(offer: ListedOffer) -> tuple[str, str, str, str]:
    """What stands below HEADINGS."""
    price = _cents(offer.microusd)
    if offer.seconds != SECONDS_SHOWN:
        price += f" ({offer.seconds} s)"
    return price, _seconds_words(offer.model), _features_words(offer.model), offer.lost_answer


def _cents(microusd: int) -> str:
    """Rounded up, so that no price looks lower than it is."""
    return usd(-(-microusd // CENT) * CENT)


def _note(offer: ListedOffer) -> str:
    """What stands beside a name: that it is the default, where it is sold, what is missing to buy it."""
    notes = ["VIDEO_MODEL"] if offer.default else []
    if offer.model.sold_by:
        notes.append(offer.model.sold_by)
    if offer.needs is None:
        notes.append("not in this version")
    elif offer.needs:
        notes.append(NEEDS + ", ".join(offer.needs))
    return ", ".join(notes)


def _seconds_words(model: VideoModel) -> str:
    return _runs(model.seconds or UNLISTED_SECONDS)


def _runs(numbers: Iterable[int]) -> str:
    """`4-15` for numbers in a row, `4, 6, 8` otherwise."""
    ordered = sorted(numbers)
    in_a_row = len(ordered) > 2 and all(after - before == 1 for before, after in pairwise(ordered))
    return f"{ordered[0]}-{ordered[-1]}" if in_a_row else ", ".join(map(str, ordered))


def _sizes_words(offer: ListedOffer) -> str:
    """`720x1280, 1080x1920 ($2.43)`, with the price of those that cost something else."""
    other = offer.other_prices
    sizes = (f"{size} ({_cents(other[size])})" if size in other else size for size in offer.model.sizes)
    return ", ".join(sizes) or "any size"


def _features_words(model: VideoModel) -> str:
    picture = ["picture"] if model.takes_image else []
    sound = {"": [], "always": ["sound"], "choice": ["sound"], "never": ["silent"]}[model.sound]
    mark = ["watermark"] if model.watermark else []
    return ", ".join(picture + sound + mark)
