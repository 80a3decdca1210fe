"""Rules for the brand: its names, its notes per language, its own banned words, secrets."""

import re
from pathlib import Path

import yaml

from evals.linting.draft import SECRETS, Problem, near
from steps.languages import CODES
from steps.text_model.brand import BRAND_FILE, FRONT_NAMES, NO_BRAND, Brand, banned_in, load_brand
from steps.text_model.front_matter import FRONT_AND_BODY, FRONT_STARTS, TemplateError, yaml_mistake


def brand_problems(path: Path) -> tuple[Brand, list[Problem]]:
    """The brand, NO_BRAND if it cannot be used, and what is wrong with it."""
    try:
        brand = load_brand(path)
    except TemplateError as error:
        why = str(error).removeprefix(f"{BRAND_FILE}: ")
        return NO_BRAND, _in_front(path) or [Problem(BRAND_FILE, 1, "brand", why)]
    if brand == NO_BRAND:
        words = "is missing, so captions have no brand voice; add it, with name: and tone: in its front matter"
        return brand, [Problem(BRAND_FILE, 1, "brand-missing", words, False)]
    found = [
        Problem(BRAND_FILE, 1, "brand-language", f"has no notes for {language}; add a section ## {language}")
        for language in CODES
        if language not in brand.notes
    ]
    for number, line in enumerate(brand.text.decode().splitlines(), 1):
        if line.startswith("banned_words"):
            continue
        if banned := banned_in(line, brand.banned_words):
            words = f"uses its own banned word {', '.join(banned)}; the model would copy it"
            found.append(Problem(BRAND_FILE, number, "brand-banned", words, False))
        if SECRETS.search(line):
            found.append(Problem(BRAND_FILE, number, "secret", "looks like a secret; remove it and revoke it"))
    return brand, found


def _in_front(path: Path) -> list[Problem]:
    """Problems in the front matter, with their lines; empty if the problem is elsewhere."""
    try:
        match = FRONT_AND_BODY.match(path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n"))
        front = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError as error:
        line, words = yaml_mistake(error)
        return [Problem(BRAND_FILE, line + FRONT_STARTS, "brand", f"is not YAML: {words}; fix this line")]
    except (OSError, UnicodeDecodeError):
        return []
    if not match or not isinstance(front, dict):
        return []
    unknown = [str(name) for name in front if name not in FRONT_NAMES]
    return [
        Problem(BRAND_FILE, _line_of(name, match[1]), "brand", f"{name} is not a known name{near(name, FRONT_NAMES)}")
        for name in unknown
    ]


def _line_of(name: str, front: str) -> int:
    place = re.search(rf"^\s*{re.escape(name)}\s*:", front, re.MULTILINE)
    return front.count("\n", 0, place.start()) + FRONT_STARTS if place else 1
