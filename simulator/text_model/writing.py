"""The simulated text model's two answers: a verdict on a prompt, and a caption. Pure.

In       the user's text, the language
Out      dictionaries with every property the product asks for
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from simulator.text_model import policy

TITLE_CHARACTERS_MAX = 80
IMPROVED_CHARACTERS_MAX = 2000
TITLE_WORDS_MAX = 7
HASHTAGS = 5

_TAIL: Mapping[str, Mapping[str, Sequence[str]]] = {
    "en": {
        "Camera": (
            "slow dolly-in at eye level, 35 mm lens, shallow depth of field",
            "smooth tracking shot from left to right at low height",
            "wide establishing shot that tilts down and settles on the subject",
            "gentle handheld follow shot with a slight parallax",
        ),
        "Light": (
            "warm late-afternoon sun with long soft shadows",
            "cool blue hour with small practical lights glowing",
            "soft overcast daylight with a bright rim light",
            "golden backlight with floating dust in the beams",
        ),
        "Motion": (
            "unhurried and continuous, with natural weight and one clear action",
            "a steady rhythm that rises and comes to rest in the last second",
            "small secondary movements in the background, nothing abrupt",
        ),
        "Sound": (
            "quiet ambience of the place and close, detailed foley, no speech",
            "soft wind, distant life and a low warm musical note",
            "rhythmic natural sounds in time with the movement",
        ),
    },
    "es": {
        "Cámara": (
            "travelling lento a la altura de los ojos, lente de 35 mm, poca profundidad de campo",
            "seguimiento suave de izquierda a derecha a baja altura",
            "plano general que desciende y se detiene en el sujeto",
            "cámara en mano muy suave con un leve paralaje",
        ),
        "Luz": (
            "sol cálido de la tarde con sombras largas y suaves",
            "hora azul con pequeñas luces encendidas",
            "luz de día nublado con un contorno brillante",
            "contraluz dorado con polvo flotando en los rayos",
        ),
        "Movimiento": (
            "pausado y continuo, con peso natural y una sola acción clara",
            "un ritmo constante que crece y descansa en el último segundo",
            "pequeños movimientos al fondo, nada brusco",
        ),
        "Sonido": (
            "ambiente tranquilo del lugar y detalles cercanos, sin voces",
            "viento suave, vida lejana y una nota musical grave y cálida",
            "sonidos naturales al compás del movimiento",
        ),
    },
}

_CATEGORIES: Mapping[str, str] = {
    "fantasy": r"dragon|drag[oó]n|unicorn\w*|fairy|castle|castillo|magic\w*|m[aá]gic[oa]|hada|wizard|mago",
    "animals": r"cat|dog|bird|horse|fox|lion|whale|fish|bear|animal|turtle|otter"
    r"|gato|perro|ave|p[aá]jaro|caballo|zorro|le[oó]n|ballena|pez|oso|tortuga|nutria",
    "nature": r"forest|sea|ocean|mountain|river|rain|snow|sunset|sunrise|beach|garden|flower|nature|desert"
    r"|bosque|mar|oc[eé]ano|monta[nñ]a|r[ií]o|lluvia|nieve|atardecer|amanecer|playa|jard[ií]n|flor|naturaleza"
    r"|desierto",
    "city": r"city|street|train|car|building|bridge|taxi|ciudad|calle|tren|coche|edificio|puente|metro",
    "food": r"coffee|bread|cake|food|kitchen|chef|soup|caf[eé]|pan|pastel|comida|cocina|taco|pizza|sopa",
    "product": r"perfume|sneaker|bottle|product|reloj|zapatilla|botella|producto",
    "science": r"space|planet|robot|rocket|star|galaxy|espacio|planeta|cohete|estrella|galaxia|astronaut\w*",
    "sports": r"football|soccer|surf\w*|race|dance\w*|f[uú]tbol|carrera|baila\w*|danza|skate\w*",
    "people": r"woman|man|girl|boy|people|family|grandmother|mujer|hombre|ni[nñ][ao]|gente|familia|abuel[oa]",
    "abstract": r"abstract\w*|fractal\w*|geometric\w*|shapes|formas|geom[eé]tric\w*",
}
_CATEGORY_WORDS = {name: re.compile(rf"\b(?:{words})s?\b", re.IGNORECASE) for name, words in _CATEGORIES.items()}
_CATEGORY_NAMES_ES = {
    "animals": "animales",
    "nature": "naturaleza",
    "city": "ciudad",
    "food": "comida",
    "science": "ciencia",
    "fantasy": "fantasia",
    "product": "producto",
    "abstract": "abstracto",
    "sports": "deportes",
    "people": "personas",
    "other": "otros",
}
_TECHNICAL = re.compile(
    r"\s*\b(?:camera|cámara|light|luz|motion|movimiento|sound|sonido)\s*:.*", re.IGNORECASE | re.DOTALL
)
_SMALL = frozenset(
    re.findall(
        r"\w+",
        "the a an of with and in on over under at by from to is are its his her through near that this while "
        "el la los las un una unos unas con sobre por para del al que y en de bajo entre junto su se "
        "mientras lo es video clip please make create haz crea quiero",
    )
)
_CAPTIONS: Mapping[str, Sequence[str]] = {
    "en": (
        "{title} ✨ One quiet moment, held in a single take.",
        "{title}. Turn the sound on and stay until the end 🎬",
        "{title}. Slow light, small sounds, and nothing in a hurry.",
    ),
    "es": (
        "{title} ✨ Un instante tranquilo en una sola toma.",
        "{title}. Sube el volumen y quédate hasta el final 🎬",
        "{title}. Luz lenta, sonidos pequeños y ninguna prisa.",
    ),
}
_COMMON_TAGS: Mapping[str, Sequence[str]] = {
    "en": ("#aivideo", "#shortfilm", "#cinematic", "#onetake"),
    "es": ("#videoia", "#cortometraje", "#cine", "#unatoma"),
}


def verdict(text: str, language: str, policy_names: Sequence[object] = ()) -> dict[str, Any]:
    """The answer to a request to validate a prompt."""
    policies = policy.violated(text)
    allowed = not policies
    fine = "El prompt cumple las normas." if language == "es" else "The prompt follows the rules."
    rewrite = None if allowed else policy.safe_rewrite(text, policies, language)
    usable = text if allowed else rewrite or ("Un paisaje tranquilo" if language == "es" else "A calm landscape")
    reasons = [policy.named(each, policy_names) for each in policies]
    return {
        "allowed": allowed,
        "reasons": list(dict.fromkeys(reasons)),
        "explanation": fine if allowed else policy.explanation(policies, language),
        "safe_rewrite": rewrite,
        "improved_prompt": improved(usable, language),
        "title": title(usable),
        "category": category(usable),
        "language": language,
    }


def caption(text: str, language: str, unwanted: Sequence[str] = ()) -> dict[str, Any]:
    """The answer to a request for a caption, without `unwanted` words and without hashtags that contain one."""
    words = _CAPTIONS[language]
    shown = words[_number(text) % len(words)].format(title=title(text))
    tags = [tag for tag in hashtags(text, language) if tag == _without(tag, unwanted)]
    return {"text": _without(shown, unwanted), "hashtags": tags}


def improved(text: str, language: str, limit: int = IMPROVED_CHARACTERS_MAX) -> str:
    """The request itself, then camera, light, motion and sound, chosen by the text alone."""
    number = _number(text)
    tail = "".join(
        f" {name}: {choices[(number >> 8 * place) % len(choices)]}."
        for place, (name, choices) in enumerate(_TAIL[language].items())
    )
    order_request = " ".join(text.split())[: limit - len(tail) - 1].rstrip()
    return (order_request if order_request.endswith((".", "!", "?", "…")) else order_request + ".") + tail


def title(text: str) -> str:
    """The first words, as a headline without line breaks."""
    first_line = next(iter(text.strip().splitlines()), "")
    words = _TECHNICAL.sub("", first_line).split()[:TITLE_WORDS_MAX]
    while len(words) > 2 and words[-1].strip(".,;:").lower() in _SMALL:
        words.pop()
    headline = " ".join(words).strip(" .,;:!¡¿?-")[:TITLE_CHARACTERS_MAX].rstrip()
    return headline[:1].upper() + headline[1:] or "Onetake"


def category(text: str) -> str:
    """A rough category."""
    return next((name for name, words in _CATEGORY_WORDS.items() if words.search(text)), "other")


def hashtags(text: str, language: str) -> list[str]:
    """Words of the text and its category, filled up with common ones; lower case, unique."""
    words = re.findall(r"[^\W\d_]{4,20}", _TECHNICAL.sub("", text).lower())
    own = [f"#{word}" for word in words if word not in _SMALL][:3]
    subject = category(text)
    named = _CATEGORY_NAMES_ES[subject] if language == "es" else subject
    topic = [] if subject == "other" else [f"#{named}"]
    return list(dict.fromkeys([*own, *topic, *_COMMON_TAGS[language]]))[:HASHTAGS]


def _without(text: str, words: Sequence[str]) -> str:
    for word in words:
        text = re.sub(rf"\b{re.escape(word)}\b", "", text, flags=re.IGNORECASE)
    return " ".join(text.split()) if words else text


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
