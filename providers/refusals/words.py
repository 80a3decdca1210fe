"""Refusals that say, in their own words, that a request of ours had arrived before or that an answer was lost. Pure.

In       the body of a refusal, and the order's prompt, which may be repeated in it and proves nothing
Out      why the refusal is unclear, as a stable word; None if nothing in it speaks against a clear no
"""

import re
from collections.abc import Iterator
from typing import Any

from net.error_text import error_object
from providers.refusals.begun_work import tells_of_work

# By the last word of its name, in any case: where an error says what it is, and where it repeats what we sent.
SAID_IN = {
    *("error", "errors", "err", "errmsg", "detail", "details", "message", "messages", "msg", "code", "type", "title"),
    *("reason", "reasons", "status", "cause", "raw", "description", "explanation", "failure", "feedback"),
}
ECHOES = {
    *("prompt", "input", "inputs", "request", "params", "parameters", "arguments", "options", "settings", "config"),
    *("param", "loc"),
}
LINK = re.compile(r"https?://[^\s\"'<>]+")
ECHO_WORDS = 5  # so many words in a row that the prompt has as well are the prompt's
# Our key is used once: that it was used before proves that a first copy of the request arrived.
KEY_USED = re.compile(
    r"\balready (?:been )?(?:used|processed|submitted|received|handled|in progress|in use|being processed|exists?)\b"
    r"|\bduplicated? (?:request|submission|order|task|job|idempoten\w+)|\brequest (?:is )?(?:still )?in progress\b"
    r"|\bin progress request\b|\b(?:key|request) re ?use"
)
KEY_NAMED = re.compile(r"\bidempoten")
KEY_MALFORMED = re.compile(r"\b(?:invalid|malformed|must be|required|missing|too long|unsupported|not supported)\b")
LOST_ANSWER = re.compile(
    r"time ?d? ?out|\bdeadline exceeded\b|\bdisconnect|\beof\b|\bbad gateway\b|\bbroken pipe\b|\bsocket hang ?up\b"
    r"|\beconn|\bconn(?:ection)? ?(?:was |is )?(?:forcibly )?(?:reset|aborted|refused|closed|lost|broken|error)"
    r"|\bclosed (?:the )?(?:connection|request)\b|\bremote protocol error\b|\bincomplete ?read\b"
    r"|\b(?:service|server|gateway|backend) (?:is )?(?:temporarily |currently )?unavailable\b"
    r"|超时|超時|逾時|タイムアウト|시간 ?초과|тайм ?аут|время ожидания|\btiempo de espera\b|\bdélai d attente\b"
    r"|\bzeitüberschreitung\b|\btempo (?:limite|esgotado|scaduto)\b"
)
# As written: a page came where JSON was expected; a Python exception by its name ("key error" may be about our key);
# pydantic names the model that did not fit, which may be that of our request.
AS_WRITTEN = re.compile(
    r"[Uu]nexpected token\W{0,4}[<\u2039]|\b(?:Key|Index|Type|Attribute)Error\b"
    r"|[Vv]alidation errors? for (?!\w*(?:Request|Params|Input)\b)"
)
# A job that a refusal names may be the one in our way, a colleague's, and not the one that was just made.
IN_OUR_WAY = re.compile(
    r"\bconcurren|\bat a time\b|\balready (?:have|has|running|generating|rendering|active)\b|\bin parallel\b"
    r"|\banother (?:video|task|job|generation|request)\b|\bwait (?:for|until)\b|\btoo many\b|\bmaximum (?:number )?of\b"
)
# What a server can refuse before it works: what we sent, who we are, what we may, where we asked.
OF_THE_REQUEST = re.compile(
    r"\b(?:prompt|model|size|seconds?|duration|resolution|dimensions?|width|height|aspect|parameters?|params?|arguments?"
    r"|inputs?|image|reference|header|multipart|form data|content type|request body|json body|invalid json"
    r"|invalid value|unsupported value|malformed request)\b"
)
OF_US = re.compile(
    r"\b(?:key|token|auth\w*|unauthori[sz]ed|credentials?|permissions?|access|forbidden|denied|account|user"
    r"|organi[sz]ation|project|subscription|plan|tier|credits?|balance|quota|billing|payment|funds?|insufficient"
    r"|limits?|limited|region|country|suspended|disabled|blocked|banned|verif\w+)\b"
)
OF_THE_PLACE = re.compile(r"^not found$|\b(?:route|endpoint|path|url|method|cannot post)\b")
# Said of any refusal; it names nothing.
SAYS_NOTHING = {"invalid request error", "invalid request", "bad request", "bad request error", "error", "api error"}
# A gateway that speaks of its upstream may have asked it; one that passes on a refusal of the prompt has its no.
UPSTREAM = re.compile(r"\bupstream|上游")
# A refusal of the prompt has one of these words (letters only, lower case).
REFUSES_CONTENT = (
    *("moderation", "moderated", "contentpolic", "contentviolation", "contentfilter", "contentguideline", "safety"),
    *("sentinel", "sensitivecontent", "nsfw", "usagepolic", "policyviolation", "prohibitedcontent", "inappropriate"),
    *("communityguideline", "responsibleai", "datainspection", "riskcontrol", "flaggedas", "flaggedby", "flaggedfor"),
)


def why_unclear(body: str, prompt: str, *, too_many: bool) -> str | None:
    """`too_many`: the provider says that there were too many requests, and here that comes before any work."""
    answer = error_object(body)
    said = " ".join(without_prompt(plain(LINK.sub(" ", words)), plain(prompt)) for words in _all_said(answer))
    if KEY_USED.search(said) or (KEY_NAMED.search(said) and not KEY_MALFORMED.search(said)):
        return "key_used_before"
    if LOST_ANSWER.search(said) or (UPSTREAM.search(said) and not too_many and not refuses_content(said)):
        return "refusal_of_a_lost_answer"
    late = _came_after_the_job(answer, said, too_many=too_many)
    return "refusal_after_the_job" if late or AS_WRITTEN.search(body) else None


def says_what(body: str, prompt: str) -> bool:
    """Whether the refusal says what is refused: our request, our account, or the place that was asked.

    One that only reports an error ("'id'", "database is locked") may come from a server that broke after it had made
    the job. What such words can be has no end, so the list is of what a refusal can be about.
    """
    answer = error_object(body)
    if any(_is_ours(each) for each in (answer, answer.get("error"), *_details(answer)) if isinstance(each, dict)):
        return True
    said = [without_prompt(plain(words), plain(prompt)) for words in _said(answer)]
    said = [words for words in said if words not in SAYS_NOTHING]
    return any(pattern.search(words) for words in said for pattern in (OF_THE_REQUEST, OF_US, OF_THE_PLACE))


def _is_ours(error: dict[str, Any]) -> bool:
    """By OpenAI's `param`, or by FastAPI's `loc`: the part of the request that is wrong."""
    place = error.get("loc")
    return bool(error.get("param")) or (isinstance(place, list) and place[:1] in (["body"], ["query"], ["header"]))


def _details(answer: dict[str, Any]) -> list[Any]:
    details = answer.get("detail")
    return details if isinstance(details, list) else []


def tells_of_another(body: str) -> bool:
    """Whether the job that a refusal names may be the one that is in our way."""
    return bool(IN_OUR_WAY.search(" ".join(map(plain, _said(error_object(body))))))


def _came_after_the_job(answer: dict[str, Any], said: str, *, too_many: bool) -> bool:
    """FastAPI, which many gateways are made with, names the part of the exchange that it finds wrong in `loc`."""
    places = [each.get("loc") for each in _details(answer) if isinstance(each, dict)]
    of_answer = any(isinstance(place, list) and place[:1] == ["response"] for place in places)
    return of_answer or tells_of_work(said, too_many=too_many)


def refuses_content(text: str) -> bool:
    letters = re.sub(r"[^a-z]", "", text.lower())
    return any(word in letters for word in REFUSES_CONTENT)


def plain(text: str) -> str:
    """Lower case words with single spaces: `ReadTimeout`, `read_timeout` and `Read timeout.` are the same."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return " ".join(re.findall(r"[^\W_]+", apart.lower()))


def without_prompt(said: str, prompt: str) -> str:
    """Plain words without those that are quoted from the prompt, which may be quoted in part."""
    words, ours = said.split(), prompt.split()
    length = min(ECHO_WORDS, len(ours))
    quotes = {tuple(ours[at : at + length]) for at in range(len(ours) - length + 1)} if length else set()
    quoted = {
        at + each
        for at in range(len(words) - length + 1)
        if tuple(words[at : at + length]) in quotes
        for each in range(length)
    }
    return " ".join(word for at, word in enumerate(words) if at not in quoted)


def last_word(name: str) -> str:
    """Of a field's name: `failureReason`, `block_reason` and `Reason` are all reasons."""
    return (plain(name).split() or [""])[-1]


def _said(answer: dict[str, Any]) -> Iterator[str]:
    """What the error's own fields say, at any depth."""
    return (words for name, words in _texts(answer) if last_word(name) in SAID_IN)


def _all_said(answer: dict[str, Any]) -> Iterator[str]:
    """Whatever it says, in fields of unknown names, too; only what we sent ourselves is left out."""
    return (words for _, words in _texts(answer))


def _texts(answer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each text with the name of its field, without what repeats our request."""
    left: list[tuple[str, object]] = [("", answer)]
    while left:
        name, value = left.pop(0)
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, list):
            left += [(name, each) for each in value]
        elif isinstance(value, dict):
            left += [(inner, each) for inner, each in value.items() if last_word(inner) not in ECHOES]
