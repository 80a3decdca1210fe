"""How a provider says that it refuses what was asked for, or the key that asked. Pure.

`speaks_of_content` is generous and knows many languages. It names why an order was refused or a clip withheld,
and it counts as the words that some statuses need to be a clear no (`NEEDS_WORDS`).
`blocks_content` is strict and wants a plain phrase: by it, a 451 may be a clear no, and a 402 is about the prompt.
`refuses_key` is asked before `speaks_of_content` names a reason: a page that rejects a key may mention its policies.
"""

import json
import re

from net.error_text import error_object
from providers.refusals.abroad import CONTENT_ABROAD, KEY_ABROAD
from providers.refusals.words import plain, refuses_content, without_prompt

# By these status words a job ended for what it shows, if it says nothing else of its end.
CONTENT_STATUSES = frozenset({
    *("rejected", "blocked", "moderated", "filtered", "content_filtered", "content_moderated", "request_moderated"),
    *("moderation_blocked", "moderation_failed", "prompt_rejected", "content_rejected", "nsfw", "censored", "flagged"),
    *("refused", "withheld"),
})  # fmt: skip
RULES = r"(?:polic(?:y|ies)|guidelines?|guardrails?|standards|terms|copyrights?|law)"
MATERIAL = r"(?:words?|terms?|phrases?|keywords?|content|prompts?|material|imagery)"
SPOKEN = re.compile(
    rf"\b(?:violat\w*|breach\w*|infring\w*|against|contrary to)(?: \S+){{0,4}} {RULES}\b"
    rf"|\b(?:prohibited|forbidden|blocked|banned|disallowed|restricted|sensitive|unsafe|harmful|explicit|offensive|adult)"
    rf" (?:\S+ )?{MATERIAL}\b|\bpotentially (?:unsafe|harmful|sensitive)\b"
    r"|\b(?:real|public|identifiable|famous) (?:person|people|persons|individuals?|figures?)\b|\bcelebrit|\bdeepfake"
    r"|\bcopyrighted\b|\bnud(?:e|ity)\b|\bsexual|\bpornograph|\bgore\b|\bhate(?:ful)? speech\b|\bself harm\b"
    r"|\b(?:prompt|content|input) (?:\S+ ){0,3}(?:not (?:be )?(?:allowed|permitted)|rejected|blocked|refused|flagged"
    r"|filtered|moderated|censored|withheld)\b|\b(?:different|another) prompt\b"
    r"|\b(?:rephrase|reword|revise|rewrite|change|modify) (?:your|the) prompt\b|\bcontent filter|\bfiltered reasons?\b"
    r"|\bnew sensitive\b|\blikeness|\brecitation\b|\bcsam\b|\bchild (?:sexual )?(?:abuse|safety|exploitation)\b"
    r"|\bdepict\w*(?: \S+){0,3} (?:minors?|child\w*|people|persons?|violence|nudity)\b"
    r"|\b(?:can ?not|can t|unable to|won t) (?:help|assist|comply) with (?:that|this|your)\b"
)
BLOCKED = re.compile(
    r"\bcontent (?:policy|guidelines?) violation\b|\bmoderation (?:blocked|failed|rejected|refused)\b"
    r"|\bcontent (?:was |is |has been )?(?:blocked|filtered|refused|rejected|moderated)\b|\bprohibited content\b"
    r"|\bsensitive content detected\b"
    r"|\b(?:rejected|blocked|refused|flagged) (?:by|for|due to|because of|as)(?: \S+){0,4}"
    r" (?:moderation|safety|policy|policies|guidelines)\b"
    r"|\b(?:violates|violated|violating|violation of|against)(?: \S+){0,3}"
    r" (?:content|usage|safety|community|use)(?: \S+)? (?:policy|policies|guidelines|rules)\b"
)
# Of a first copy that is being looked at, or of a bill: no refusal of what this one asks for.
NOT_OF_THIS = re.compile(
    r"\b(?:pending|queued|in progress|in review|under review|being (?:reviewed|checked|processed)"
    r"|still|earlier|previous|already|balance|credits?|quota|billing|payment|insufficient)\b"
)
CREDENTIAL = r"(?:api ?keys?|access tokens?|secret keys?|credentials|bearer tokens?)"
ACCOUNT = (
    r"(?:account|organi[sz]ation|org|project|team|tenant|workspace|subscription|membership|user|client|customer"
    r"|ip(?: address)?|access|(?:your|this|the|that) (?:key|token))"
)
PUT_OUT = (
    r"(?:suspended|disabled|deactivated|banned|terminated|locked|blocked|revoked|restricted|flagged|frozen|closed"
    r"|blacklisted|inactive|unverified|expired"
    r"|(?:not|must be|needs to be|has to be) (?:verified|activated?|authori[sz]ed))"
)
COUNTRY = r"(?:country|region|territory|location)"
KEY_REFUSED = re.compile(
    rf"\b(?:invalid|incorrect|wrong|missing|expired|revoked|unknown|malformed|no|disabled) (?:\S+ )?{CREDENTIAL}\b"
    rf"|\b{CREDENTIAL} (?:\S+ ){{0,4}}?(?:invalid|incorrect|not valid|expired|revoked|missing|{PUT_OUT})\b"
    r"|\bauthentication (?:error|failed|required)\b|\bunauthori[sz]ed\b|\bnot authenticated\b"
    rf"|\b{ACCOUNT}(?: (?:has|have|had|been|is|was|are|were|got|now|currently|temporarily|permanently|id|\S*\d\S*))*"
    rf" {PUT_OUT}\b"
    rf"|\b(?:suspended|banned|disabled|deactivated|terminated|revoked|unverified|inactive) (?:your )?{ACCOUNT}\b"
    r"(?! (?:s|prompts?|content|input|text|request)\b)"
    rf"|\bunsupported {COUNTRY}\b|\b{COUNTRY}(?: \S+){{0,2}} not (?:supported|allowed)\b"
    r"|\b(?:do|does) not have (?:\S+ )?access\b|\bmust accept\b|\binsufficient permissions?\b"
    rf"|\b{CREDENTIAL} (?:\S+ ){{0,3}}permissions?\b"
)
NO_CREDIT = re.compile(
    r"\b(?:insufficient|exceeded|exhausted|not (?:have )?enough|out of)(?: \S+){0,4} (?:quota|balance|credits?|funds)\b"
    r"|\boverdue (?:balance|payment)\b"
    r"|\b(?:quota|balance|credits?) (?:\S+ ){0,3}(?:exceeded|exhausted|depleted|insufficient|used up)\b"
    r"|\bbilling (?:hard )?limit\b"
)
# What comes of further refused prompts.
THREAT = re.compile(
    r"\b(?:may|might|could|will|would)(?: (?:also|be|get|being|have|lead|result|cause|to|in|your|the|this|api|key"
    rf"|account|organi[sz]ation|user|access|permanently|temporarily))* {PUT_OUT}\b"
)


def said_in(body: str, prompt: str) -> str:
    """Everything in a refusal as plain words, without those that it quotes from the prompt."""
    return without_prompt(plain(json.dumps(error_object(body), ensure_ascii=False)), plain(prompt))


def speaks_of_content(words: str, prompt: str = "") -> bool:
    said = without_prompt(plain(words), plain(prompt))
    spoken = any(pattern.search(said) for pattern in (SPOKEN, CONTENT_ABROAD))
    return refuses_content(said) or spoken or said.replace(" ", "_") in CONTENT_STATUSES


def blames_content(words: str, prompt: str = "") -> bool:
    """Of what ended a job: what it would have shown, and not the key or the account."""
    return speaks_of_content(words, prompt) and not refuses_key(without_prompt(plain(words), plain(prompt)))


def blocks_content(said: str) -> bool:
    return BLOCKED.search(said) is not None and not NOT_OF_THIS.search(said)


def refuses_for_credit(said: str) -> bool:
    """Whether the account has no money or quota left, whatever the quota is for."""
    return NO_CREDIT.search(said) is not None


def refuses_key(said: str) -> bool:
    meant = THREAT.sub(" ", said)
    return any(pattern.search(meant) for pattern in (KEY_REFUSED, KEY_ABROAD))
