"""Words that the simulated text model refuses, in English and Spanish. Pure.

In       the user's text
Out      policy words, most serious first, and a rewrite if one makes sense
"""

import re
from collections.abc import Mapping, Sequence

_STEMS: Mapping[str, str] = {
    "minors": r"underage|minors|menor(?:es)? de edad|preteen|colegiala\w*|schoolgirl\w*",
    "sexual": r"sex|sexo|sexy|sexual\w*|nude|nudes|nudity|naked|porn\w*|erotic\w*|er[oó]tic[oa]s?|desnud\w*",
    "hate": r"nazis?|hitler|racist\w*|supremac\w*|odio|hate speech|hateful|ethnic cleansing",
    "self_harm": r"suicid\w*|self[- ]harm\w*|autolesi\w*",
    # Whole words: `stab` must not stop a stabilized camera, nor `arma` a child who builds (arma) a castle.
    "violence": r"blood|bloody|bloodbath|gore|gory|kill|kills|killed|killing|murder\w*|tortur\w*|stabs?"
    r"|stabbed|stabbing|behead\w*|massacre\w*|violence|violent\w*|sangre|sangrient\w*|matar|matan|matando"
    r"|asesin\w*|decapit\w*|violencia|violent[oa]s?|masacre\w*",
    "weapons": r"guns?|rifles?|pistols?|bombs?|grenades?|weapons?|machine guns?|explosives?"
    r"|armas|arma de fuego|pistolas?|fusil(?:es)?|bombas?|granadas?|escopetas?|explosivos?",
    "real_person": r"taylor swift|elon musk|donald trump|joe biden|barack obama|vladimir putin|shakira"
    r"|bad bunny|lionel messi|messi|cristiano ronaldo|rosal[ií]a|real person|celebrity|celebrities"
    r"|persona real|celebridad(?:es)?|famos[oa] real",
    "copyright": r"mickey mouse|pikachu|pok[eé]mon|star wars|darth vader|harry potter|spider-?man|batman"
    r"|superman|bob esponja|spongebob",
    "illegal": r"cocaine|coca[ií]na|meth|heroin|smuggl\w*|contrabando|money laundering",
}
_WORDS = {policy: re.compile(rf"\b(?:{stems})\b", re.IGNORECASE) for policy, stems in _STEMS.items()}

_SYNONYMS: Mapping[str, Sequence[str]] = {
    "minors": ("minor", "child", "csam"),
    "sexual": ("sex", "adult", "nud"),
    "hate": ("hate", "harass", "discrimin"),
    "self_harm": ("self", "suicid"),
    "violence": ("violen", "gore", "graphic"),
    "weapons": ("weapon", "arms", "danger", "illegal"),
    "real_person": ("real", "person", "likeness", "public_figure", "celebr", "privacy"),
    "copyright": ("copyright", "intellectual", "trademark", "ip_"),
    "illegal": ("illegal", "crim", "drug", "regulated"),
}

_MILD: Mapping[str, Mapping[str, str]] = {
    "en": {
        "violence": "red paint",
        "weapons": "a paper lantern",
        "real_person": "a fictional performer",
        "copyright": "an invented hero",
    },
    "es": {
        "violence": "pintura roja",
        "weapons": "un farol de papel",
        "real_person": "un personaje ficticio",
    },
}
"""What a refused word becomes in a safe rewrite. Policies not named here have none."""

_EXPLAINED: Mapping[str, Mapping[str, str]] = {
    "en": {
        "minors": "it involves minors in an unsafe way",
        "sexual": "it asks for sexual content",
        "hate": "it promotes hate",
        "self_harm": "it shows self-harm",
        "violence": "it shows graphic violence",
        "weapons": "it centres on weapons",
        "real_person": "it shows a real person",
        "copyright": "it copies a protected character",
        "illegal": "it shows a crime",
    },
    "es": {
        "minors": "involucra a menores de forma insegura",
        "sexual": "pide contenido sexual",
        "hate": "promueve el odio",
        "self_harm": "muestra autolesiones",
        "violence": "muestra violencia explícita",
        "weapons": "gira en torno a armas",
        "real_person": "muestra a una persona real",
        "copyright": "copia a un personaje protegido",
        "illegal": "muestra un delito",
    },
}


def violated(text: str) -> list[str]:
    """The policies that a text violates."""
    return [policy for policy, words in _WORDS.items() if words.search(text)]


def named(policy: str, allowed: Sequence[object]) -> str:
    """The caller's own word for a policy, if its schema lists allowed words."""
    names = [name for name in allowed if isinstance(name, str)]
    if policy in names or not names:
        return policy
    stems = _SYNONYMS[policy]
    fallback = next((name for name in names if name.startswith("other")), names[-1])
    return next((name for name in names if any(stem in name.lower() for stem in stems)), fallback)


def explanation(policies: Sequence[str], language: str) -> str:
    """One sentence for the user."""
    why = (" y " if language == "es" else " and ").join(_EXPLAINED[language][policy] for policy in policies)
    if language == "es":
        return f"No puedo crear este video porque {why}."
    return f"I cannot make this video because {why}."


def safe_rewrite(text: str, policies: Sequence[str], language: str) -> str | None:
    """The same request without the refused words, or None if too little is left."""
    mild = _MILD[language]
    if any(policy not in mild for policy in policies):
        return None
    for policy in policies:
        text = _WORDS[policy].sub(mild[policy], text)
    return None if violated(text) else text
