"""The texts of alerts for operators, in each operator's language. Pure."""

from collections.abc import Callable, Mapping

from markupsafe import Markup

from bot.messages import FAILURES, NOTHING, UNKNOWN_FAILURE
from bot.translations import N_, Words, code
from pipeline.formatting import whole_cents
from pipeline.ledger.alerts import Alert

DETAIL_CHARACTERS_MAX = 300  # of a provider's message
CAUSES: Mapping[str, str] = {
    "failures": N_("too many failures at the provider"),
    "submissions": N_("too many orders in a short time"),
}
UNKNOWN_CAUSE = N_("unknown reason")


def cause(known: str | None, words: Words) -> Markup:
    """Why a breaker stopped ordering."""
    return words(CAUSES.get(known or "", UNKNOWN_CAUSE))


def _in_doubt(alert: Alert, words: Words) -> Markup:
    return words(
        "🔎 {ref} has been in doubt for 15 minutes; {held} is set aside. If the provider's records show the job, "
        "<code>/admin found {ref} JOB</code>; if they show that nothing was made, <code>/admin notcharged "
        "{ref}</code>.",
        ref=alert.detail["ref"],
        held=words.usd(alert.detail["held_microusd"]),
    )


def _parked(alert: Alert, words: Words) -> Markup:
    return words(
        "🕰 {ref} is long overdue; {held} is set aside, and I check it less and less often. See <code>/admin show "
        "{ref}</code> and the provider's records; if they show that nothing was made, <code>/admin notcharged "
        "{ref}</code>.",
        ref=alert.detail["ref"],
        held=words.usd(alert.detail["held_microusd"]),
    )


def _late_job(alert: Alert, words: Words) -> Markup:
    return words(
        "🕰 {ref} had ended without a video, but its job turned up after all: {price} counts as spent, and the video "
        "is being fetched. You don't need to do anything.",
        ref=alert.detail["ref"],
        price=words.usd(alert.detail["price_microusd"]),
    )


def _two_paid_calls(alert: Alert, words: Words) -> Markup:
    return words(
        "🚨 The provider was paid twice for {ref}, which must never happen: job {job} is the extra one. Stop orders "
        "with <code>/admin pause</code> and check the provider's records. Something between us and the provider may "
        "be repeating requests. Once you know the cause: {command}.",
        **_told(alert, words),
    )


def _perhaps_two_paid_calls(alert: Alert, words: Words) -> Markup:
    return words(
        "⚠️ Possibly two paid calls for {ref}: no run owns job {job}. The job shows no prompt and may be a second one "
        "for {ref}. Check the provider's records. Once you know the cause: {command}.",
        **_told(alert, words),
    )


def _told(alert: Alert, words: Words) -> dict[str, object]:
    """The run and the job of a difference, and the commands that close it or fetch the job."""
    ref, job_id = alert.detail.get("ref"), alert.detail.get("job_id")
    fetch = f"/admin found {ref or '?'} {job_id or '?'}"
    command = words.plain(N_('onetake audit --explain {subject} --why "REASON"'), subject=job_id or ref or "?")
    return {"ref": ref or "?", "job": code(job_id or "?"), "command": code(command), "fetch": code(fetch)}


def _period(alert: Alert, words: Words) -> Markup:
    """The day or the month of a budget, in the reader's date format."""
    year, month, *day = str(alert.detail["period"]).split("-")
    if not day:
        return words("{year}-{month}", year=year, month=month)
    return words("{year}-{month}-{day}", year=year, month=month, day=day[0])


def _budget(alert: Alert, words: Words) -> Markup:
    return words(
        "💰 {share} % of the budget for {period} is used: {used} of {limit}. Change it with <code>/admin limit "
        "budget_day_microusd AMOUNT</code> (or <code>budget_month_microusd</code>), in dollars.",
        share=alert.detail["share"],
        period=_period(alert, words),
        used=words.usd(whole_cents(alert.detail["used_microusd"])),
        limit=words.usd(alert.detail["limit_microusd"]),
    )


def _budget_exhausted(alert: Alert, words: Words) -> Markup:
    return words(
        "💰 An order was refused and nothing was charged: the budget for {period} has no room for it; {used} of "
        "{limit} is used. Change the budget with <code>/admin limit budget_day_microusd AMOUNT</code> (or "
        "<code>budget_month_microusd</code>), in dollars.",
        period=_period(alert, words),
        used=words.usd(alert.detail["used_microusd"]),
        limit=words.usd(alert.detail["limit_microusd"]),
    )


def _failure_rate(alert: Alert, words: Words) -> Markup:
    return words.count(
        "📉 {n} of {ended} orders in the last hour failed at the provider. Its user was notified. Nothing was charged, "
        "unless your provider bills failures. <code>/admin pause</code> stops ordering.",
        "📉 {n} of {ended} orders in the last hour failed at the provider. Their users were notified. Nothing was "
        "charged, unless your provider bills failures. <code>/admin pause</code> stops ordering.",
        alert.detail["failed"],
        ended=alert.detail["ended"],
    )


def _breaker(alert: Alert, words: Words) -> Markup:
    return words(
        "⚡ Ordering was stopped automatically ({cause}); it will be tried again in a few minutes. <code>/admin "
        "resume</code> lets orders through right away.",
        cause=cause(alert.detail.get("cause"), words),
    )


def _model_gone(alert: Alert, words: Words) -> Markup:
    return words(
        "🪦 The provider no longer offers the model {model} at {base_url}{detail}. {ref} failed; nothing was charged. "
        "Choose another VIDEO_MODEL; <code>onetake check</code> lists what can be bought.",
        model=alert.detail["model"],
        base_url=alert.detail["base_url"],
        ref=alert.detail["ref"],
        detail=_said(alert, words),
    )


def _said(alert: Alert, words: Words) -> Markup:
    """The provider's message, quoted."""
    said = str(alert.detail.get("detail") or "").strip().rstrip(".")
    return words(" (“{said}”)", said=said[:DETAIL_CHARACTERS_MAX]) if said else Markup("")


def _our_side(alert: Alert, words: Words) -> Markup:
    reason = str(alert.detail.get("reason"))
    return words(
        "🔧 {ref} failed for a reason that only you can fix: {what}{detail}. {money} Its user was notified. "
        "<code>onetake check --provider</code> checks the settings.",
        ref=alert.detail["ref"],
        what=words(FAILURES.get(reason, UNKNOWN_FAILURE)[0]).rstrip("."),
        detail=_said(alert, words),
        money=words("Its price was charged.") if reason == "expired" else words(NOTHING),
    )


def _not_stored(alert: Alert, words: Words) -> Markup:
    return words(
        "💾 The video of {ref} is paid for, but the machine that fetches it cannot store it{detail}. I fetch it again "
        "every few seconds: free up disk space, or let the bot write to its media folder.",
        ref=alert.detail["ref"],
        detail=words(" (“{said}”)", said=str(alert.detail["words"])[:DETAIL_CHARACTERS_MAX]),
    )


# Differences between the provider's jobs and the ledger, by kind.
DIFFERENCES: Mapping[str, str] = {
    "job_without_run": N_("no run owns the provider's job {job}"),
    "run_without_job": N_("{ref} has job {job}, which the provider does not show"),
    "released_but_made": N_(
        "{ref} failed and its money was released, but the provider shows its job {job} as made; {fetch} fetches it"
    ),
    "charged_but_failed": N_("{ref} was charged, but the provider shows its job {job} as failed, which is not billed"),
    "charged_without_clip": N_("{ref} was charged, but its video is not here"),
    "charged_otherwise": N_("the provider charged another amount for job {job} of {ref} than is booked here"),
    "not_as_ordered": N_("job {job} of {ref} has a different length or size than ordered"),
}
UNKNOWN_DIFFERENCE = N_("the two differ on {ref}, job {job}")


def _audit(alert: Alert, words: Words) -> Markup:
    told = _told(alert, words)
    amount = int(alert.detail.get("microusd") or 0)
    return words(
        "📒 The audit found a difference between the provider's records and the ledger: {what}{amount}. <code>onetake "
        "audit</code> lists all open differences. Once you know the cause: {command}.",
        what=words(DIFFERENCES.get(str(alert.detail.get("kind")), UNKNOWN_DIFFERENCE), **told),
        amount=f" ({words.usd(amount)})" if amount else "",
        command=told["command"],
    )


def _stray_answer(alert: Alert, words: Words) -> Markup:
    ref = alert.detail.get("ref")
    said = " ".join(str(alert.detail.get("words") or "").split())
    return words(
        "📨 The provider sent an answer that matches no run{ref}. It may name a job that was paid for: look for that "
        "job in the provider's records{said}. The operators' page shows the whole answer under Audit.",
        ref=words(" (it came for {ref})", ref=ref) if ref else "",
        said=words(" (“{said}”)", said=said[:DETAIL_CHARACTERS_MAX]) if said else "",
    )


def _template(alert: Alert, words: Words) -> Markup:
    return words(
        "📝 An edit to the prompt {id} cannot be used: {what}. The last good version stays in use; nothing failed and "
        "nothing was charged. <code>onetake prompts lint</code> shows what to fix.",
        id=alert.detail["id"],
        what=str(alert.detail.get("words") or "").rstrip("."),
    )


def _unreadable_update(alert: Alert, words: Words) -> Markup:
    return words(
        "✉️ The bot skipped a message that it could not read ({what}); the sender may have received no answer. All "
        "other messages are answered, and nothing was charged. The log lists every message skipped today; upgrading "
        "onetake may help.",
        what=str(alert.detail.get("words") or ""),
    )


def _storage(alert: Alert, words: Words) -> Markup:
    return words(
        "🗄️ A video could not be uploaded to Storage: {what}. It is kept on the machine that made it, and the upload "
        "is retried every minute; nothing was lost and nothing more was charged. Check the bucket's settings.",
        what=str(alert.detail.get("words") or "").rstrip("."),
    )


def _undelivered(alert: Alert, words: Words) -> Markup:
    name, _, file = str(alert.detail.get("why") or "").partition(": ")
    if name == FileNotFoundError.__name__:
        return words(
            "📭 The video of {ref} was saved, but its file is gone: it is neither on this machine nor in Storage, and "
            "the provider did not send it again. If you have a copy, put it back as {file}: I check every minute for "
            "6 hours; after that, <i>Deliver again</i> on the operators' page tries once more. Delivering again costs "
            "nothing.",
            ref=alert.detail["ref"],
            file=code(file),
        )
    return words(
        "📭 The video of {ref} is ready, but could not be delivered ({why}). It is saved; its card points the user to "
        "/videos. <i>Deliver again</i> on the operators' page tries once more, at no cost.",
        ref=alert.detail["ref"],
        why=str(alert.detail.get("why") or "")[:DETAIL_CHARACTERS_MAX],
    )


def unknown(alert: Alert, words: Words) -> Markup:
    return words("❗ This version of onetake does not know the alert {key}. Upgrading may help.", key=alert.key)


SAYINGS: Mapping[str, Callable[[Alert, Words], Markup]] = {
    "in_doubt": _in_doubt,
    "parked": _parked,
    "late_job": _late_job,
    "two_paid_calls": _two_paid_calls,
    "perhaps_two_paid_calls": _perhaps_two_paid_calls,
    "budget": _budget,
    "budget_exhausted": _budget_exhausted,
    "failure_rate": _failure_rate,
    "breaker": _breaker,
    "model_gone": _model_gone,
    "our_side": _our_side,
    "not_stored": _not_stored,
    "audit": _audit,
    "stray_answer": _stray_answer,
    "template": _template,
    "unreadable_update": _unreadable_update,
    "storage": _storage,
    "undelivered": _undelivered,
}
