"""Refusals of the prompt, and of the key or account, in the fields and languages in which providers write them."""

import json
from typing import Any

import pytest

from providers.openai_videos.jobs import read_job
from providers.openai_videos.protocol import read_answer
from providers.orders import Answer, ClearNo
from tests.providers.openai_videos.test_refusal_words import reason

WORDS = "This violates our content policy"
FIELDS: tuple[Any, ...] = (
    {"base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}},
    {"error_msg": WORDS},
    {"err_msg": WORDS},
    {"title": "Content policy violation", "type": "about:blank", "status": 400},
    {"description": WORDS},
    {"reason": WORDS},
    {"status_message": WORDS},
    {"failure_reason": WORDS},
    {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}},
    {"ResponseMetadata": {"RequestId": "r", "Error": {"Code": "InputTextSensitiveContentDetected", "Message": "No"}}},
    {"Error": {"Message": WORDS}},
    {"Message": WORDS},
    [{"error": {"message": WORDS}}],
)


@pytest.mark.parametrize("body", FIELDS, ids=json.dumps)
@pytest.mark.parametrize("status", [400, 403, 422])
def test_content_refusals_are_recognized_in_many_fields(body: Any, status: int) -> None:
    assert reason(body, status) == "no:prompt_refused"


def test_refusal_detail_is_read_from_every_known_field() -> None:
    for body in FIELDS:
        meaning = read_answer(Answer(400, json.dumps(body)), refuses_429=False)
        assert isinstance(meaning, ClearNo) and meaning.detail in {WORDS, *json.dumps(body).split('"')}


LANGUAGES = (
    *(
        "Le contenu demandé est inapproprié",
        "Votre demande enfreint nos règles",
        "Non conforme à la politique de contenu",
    ),
    *("Der Prompt verstößt gegen unsere Inhaltsrichtlinien", "Unzulässiger Inhalt", "Inhalt nicht erlaubt"),
    *("O conteúdo viola nossas políticas", "Conteúdo impróprio", "Contra as diretrizes da comunidade"),
    *("Il contenuto viola le nostre norme", "Contenuto inappropriato", "Il prompt è stato bloccato"),
    *("コンテンツポリシーに違反しています", "不適切な内容が含まれています", "禁止された言葉"),
    *("콘텐츠 정책을 위반했습니다", "부적절한 프롬프트입니다", "이용 정책 위반"),
    *("Запрос нарушает правила сервиса", "Запрещённый контент", "Не соответствует политике контента"),
    *("內容違規", "提示詞包含敏感詞", "違反內容政策", "内容审核不通过", "违反了社区规定"),
    *("Tu solicitud infringe nuestras normas", "El contenido es inapropiado", "Incumple las directrices de contenido"),
)
ENGLISH = (
    *("input new_sensitive", "The video would depict a minor", "It uses the likeness of somebody"),
    *("I can't help with that request", "Blocked: RECITATION", "Generation blocked: depiction of child"),
    *("I'm unable to assist with this", "CSAM detected"),
)


@pytest.mark.parametrize("words", [*LANGUAGES, *ENGLISH])
def test_content_refusals_are_recognized_in_many_languages(words: str) -> None:
    for status in (400, 403, 422):
        assert reason({"error": {"message": words}}, status) == "no:prompt_refused"
    failed = {"id": "v", "object": "video", "status": "failed", "fail_reason": words}
    job = read_job(json.dumps(failed), "v")
    assert job is not None and job.refuses_content(job.error or "")


KEYS = (
    *("Your key has been disabled for violating the content policy", "User banned by our moderation"),
    *("Your organization must be verified to use this model. See our content policy.",),
    *("This API key was flagged for abuse by our moderation team", "Tenant suspended: content policy violation"),
    *(
        "Your subscription is suspended by policy. Read our content policy",
        "IP 10.1.2.3 is blocked by our safety system",
    ),
    *("unsupported_country_region_territory: see our usage policies", "We have suspended your account: moderation"),
    *("Country, region, or territory not supported by our safety rules", "Your workspace was locked by moderation"),
    *("API Key 无效，请参考内容审核政策", "账号已被封禁，违反内容政策", "無效的 API key: 內容政策", "帳號已停用: 違規"),
    *("Clé API invalide: politique de contenu", "Tu cuenta fue suspendida por la política de contenido"),
    *("Ihr Konto wurde gesperrt: Inhaltsrichtlinien", "Sua conta foi suspensa: conteúdo impróprio"),
    *("Account sospeso: contenuto inappropriato", "Ваш аккаунт заблокирован: нарушает правила сервиса"),
    *("アカウントは停止されています: コンテンツポリシー", "계정이 정지되었습니다: 콘텐츠 정책 위반"),
)


@pytest.mark.parametrize("words", KEYS)
@pytest.mark.parametrize("status", [400, 403, 422])
def test_key_or_account_refusal_that_names_a_policy_is_not_a_content_refusal(words: str, status: int) -> None:
    assert reason({"error": {"message": words}}, status) == ("no:forbidden" if status == 403 else "no:unauthorized")


@pytest.mark.parametrize("words", KEYS)
def test_job_that_failed_because_of_the_key_is_not_a_content_refusal(words: str) -> None:
    job = read_job(json.dumps({"id": "v", "object": "video", "status": "failed", "error": {"message": words}}), "v")
    assert job is not None and not job.refuses_content(job.error or "")


@pytest.mark.parametrize(
    "words",
    [
        *(
            "Content policy violation. Repeated violations may get your account suspended",
            "User prompt blocked by safety",
        ),
        *(
            "Your prompt was flagged by moderation and this account will be banned",
            "Prompt blocked. Access our guidelines",
        ),
        *(
            "The user's prompt was flagged by moderation",
            "用户输入的内容违规，已被禁用",
            "User input violates our content policy",
        ),
    ],
)
def test_content_refusal_that_mentions_accounts_is_still_recognized(words: str) -> None:
    assert reason({"error": {"message": words}}, 403) == "no:prompt_refused"


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize(
    "error",
    [
        {"message": "Billing hard limit has been reached", "code": "billing_hard_limit_reached"},
        {"message": "You exceeded your current quota, please check your plan", "code": "insufficient_quota"},
        {"message": "Content moderation quota exceeded for your organization"},
        {"message": "Insufficient balance: 0.02 credits left"},
        {"message": "You do not have enough credits to run this task."},
        {"message": "The request failed because your account has an overdue balance.", "code": "AccountOverdueError"},
    ],
    ids=str,
)
def test_refusal_for_lack_of_money_or_quota_blames_neither_the_prompt_nor_the_key(
    error: dict[str, str], status: int
) -> None:
    meaning = read_answer(Answer(status, json.dumps({"error": error})), refuses_429=False)
    assert isinstance(meaning, ClearNo) and meaning.reason == "no_credit"


def test_refused_prompt_that_cost_no_credits_is_still_a_content_refusal() -> None:
    said = "Your prompt was rejected by the content policy. No credits were charged."
    meaning = read_answer(Answer(400, json.dumps({"error": {"message": said}})), refuses_429=False)
    assert isinstance(meaning, ClearNo) and meaning.reason == "prompt_refused"
