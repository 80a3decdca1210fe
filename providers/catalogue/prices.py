"""What a video or a text costs, in micro-dollars. Pure."""

from decimal import ROUND_CEILING, Decimal

from providers.catalogue.models import MICROUSD, Catalogue, VideoModel


def price_microusd(model: VideoModel, seconds: int, size: str) -> int:
    if model.microusd_per_video is not None:
        return model.microusd_per_video
    return seconds * model.microusd_per_second_at.get(size, model.microusd_per_second)


def text_cost_microusd(catalogue: Catalogue, name: str, tokens_in: int, tokens_out: int) -> int:
    """The cost, rounded up. An unlisted model is charged at the highest listed price, so it is never too low."""
    known = [text for text in catalogue.texts if text.name == name] or catalogue.texts
    price_in = max(text.microusd_in for text in known)
    price_out = max(text.microusd_out for text in known)
    return -(-(tokens_in * price_in + tokens_out * price_out) // 1_000_000)


def microusd_of(usd: object) -> int:
    """Rounded up. Raises ValueError or ArithmeticError for what is not a price."""
    price = Decimal(str(usd))
    if not price.is_finite() or price < 0:
        raise ValueError(f"{usd} is not a price")
    return int((price * MICROUSD).to_integral_value(ROUND_CEILING))


def price_words(model: VideoModel) -> str:
    if model.microusd_per_video is not None:
        return f"${model.microusd_per_video / MICROUSD:.3g} a video"
    return f"${model.microusd_per_second / MICROUSD:.3g}/s"
