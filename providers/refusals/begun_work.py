"""Signs in a refusal's words that work began, goes on, was charged, or failed after the job was made. Pure.

A single sign leaves the run in doubt, whatever else the words refuse, so each may be generous: money waits, but nobody
buys twice. Only what the refusal itself calls not done is no sign.
"""

import re

JOB = r"(?:video|task|job|generation|prediction|record|result|output)"
JOB_SOUGHT = re.compile(rf"\b{JOB}\b(?: \S+){{0,6}}? (?:not|t)(?: be)? (?:found|exists?)\b|\bno such {JOB}\b")
NAMES_MODEL = re.compile(r"\bmodel\b")  # "the model video-1 does not exist" is said of the request
# "No video was generated", "your card could not be charged", "your subscription was canceled".
NOT_DONE = re.compile(
    r"\b(?:no|not|never|without|cannot|t)"
    r"(?: (?:an?|any|yet|be|been|being|was|were|is|are|has|have|had|your|account|card|credits?|money|videos?|clips?"
    r"|jobs?|tasks?|generations?|requests?)){0,4}"
    r" (?:charged|debited|deducted|billed|consumed|created|generated|started|submitted|made|queued|accepted|processed"
    r"|completed|rendered)\b"
    r"|\b(?:subscription|plan|membership|account|card)(?: (?:has|have|was|were|is|been))* cancell?ed\b"
)
WORK = rf"(?:{JOB}|clip|request|render|rendering|order)"
IS = r"(?:is|are|was|were|has|have|had|been|still|already|currently|now)"
SIGNS = {
    "it began": rf"\b{WORK} (?:{IS} )*(?:successfully )?(?:submitted|accepted|created|started|queued|enqueued"
    r"|scheduled|generated(?! (?:by|from|with|would|could|may|using|in|at)\b)|completed?|finished|rendered|ready|done"
    r"|succeeded|begun|began|dispatched|launched|handed over)\b|\bgenerated (?:video|clip|file)\b",
    "it was begun": rf"\b(?:started|begun|began|created|dispatched|launched) (?:your|the|an?) {WORK}\b"
    r"|\bsent to (?:the |a )?(?:model|provider|worker|backend|queue)\b|\bwill be ready\b",
    "it goes on": rf"\b{WORK} (?:{IS} )+(?:pending|running|rendering|generating|processing|in (?:the )?queue)\b"
    r"|\b(?:still|currently|already) (?:running|rendering|generating|processing|working|queued)\b"
    r"|\bbeing (?:generated|rendered|processed|created|made|produced)\b|\bin progress\b|\bunder ?way\b"
    r"|\bin (?:the )?background\b|\bcontinues\b|\bworker\b"
    r"|\b(?:is|are) (?:running|rendering|generating|processing|working)\b"
    r"|\b(?:while|during|after) (?:\S+ )?(?:render|generat|encod|inference)|\binference (?:failed|error)\b",
    "it was waited for": r"\bpoll(?:s|ed|ing)?\b|\b(?:max|maximum|exceeded) wait\b|\bwait(?:ing)? time\b"
    r"|\bwait(?:ed|ing)\b(?! list| (?:for )?(?:\S+ )?(?:approval|verification|payment))"
    rf"|\bwait for (?:the |your |its )?{JOB}\b"
    r"|\b(?:after|all) (?:\d+ )?(?:attempts|retries|tries)\b|\b(?:attempts|retries) exhausted\b",
    "its answer was judged": r"\bresponse (?:validation|body|payload|object|from|was(?! filtered)|is|could|did|does"
    r"|failed|missing)\b|\b(?:parse|parsing|validat\w+|decod\w+|read|reading|process|processing|invalid|unexpected"
    r"|malformed|empty|bad|provider|backend)(?: \S+){0,3} response\b(?! format)|\bunmarshal"
    r"|\bexpecting value line 1 column 1\b|\bunexpected end of json\b|\bunable to get json\b",
    "its output was judged": r"\boutput (?:\S+ ){0,2}(?:blocked|flagged|rejected|filtered|moderated|sensitive)\b",
    "it was fetched or finished": r"\bdownload"
    r"|\b(?:fetch|retriev|deliver)\w* (?:\S+ ){0,2}(?:video|clip|result|output)\b"
    r"|\bthumbnail|\btranscod|\bwatermark|\bffmpeg\b|\bpost ?process",
    "it was stored": r"\bviolates (?:row|foreign|unique|check|not null)\b|\bforeign key\b|\bduplicate key\b"
    r"|\bunique constraint\b|\b(?:insert|save) task failed\b|\binsert (?:\S+ ){0,2}failed\b"
    r"|\bfailed to (?:insert|save|store|persist|record)\b|\bfor (?:table|relation|sequence)\b"
    r"|\b(?:writ|sav|stor|persist|insert)\w* (?:\S+ ){0,2}fail|\b(?:failed to|error) (?:writ|sav|stor|persist)\w*"
    r"|\b(?:mongo\w*|redis|postgres\w*|mysql)\b|\bupload|\bbucket\b|\bs3\b|\bput ?object\b|\bblob\b|\bstorage\b",
    "it was billed": r"\b(?:charged|debited|deducted|billed|consumed|consuming)\b|\brefund|\bdeduction (?:failed|error)"
    r"|\b(?:credits?|money|payment|funds) (?:was |were |has been |have been )?(?:taken|captured|spent|withdrawn)\b"
    r"|\b(?:quota|balance|credits?|usage) (?:was |were )?(?:updated|reduced|decremented)\b"
    r"|\bbalance (?:is )?(?:now )?negative\b"
    r"|\b(?:billing|usage|payment|charge|ledger|transaction) (?:record|log|entry|event|report)",
    "it was told of": r"\b(?:could not|couldn t|failed to|unable to|cannot) (?:send|email|deliver|return|call)\b"
    r"|\bweb ?hook|\bcall ?back|\bnotif(?:y|ied|ying|ication)",
    "it was broken off": r"\bcancell?(?:ed|ing|ation)\b|\babort(?:ed|ing)\b|\binterrupted\b",
    "it broke inside": r"\bnone ?type\b|\bobject has no attribute\b|\btraceback\b|\bnull pointer\b"
    r"|\bcannot read propert|\bundefined is not\b",
    "in Chinese, Japanese, Korean": r"任[务務]已|创建成功|創建成功|保存失[败敗]"
    r"|已(?:提交|创建|創建|扣|生成|完成)|轮询|輪詢|回[调調]|正在"
    r"|(?:生成|处理|處理|処理|排[队隊]|渲染)中|取消|上[传傳]|[存儲储]储|下[载載]|通知"
    r"|キャンセル|アップロード|課金され|作成済|送信済|생성 ?중|처리 ?중|진행 ?중|취소|업로드|청구되|알림",
    "in European languages": r"\ben (?:curso|proceso|cola|cours)\b|\bse (?:está|sigue)\b|\b(?:cancel|cobr)ad[oa]\b"
    r"|\bannulée?\b|\bdébitée?\b|\bwird (?:noch |gerade |bereits )?(?:erstellt|generiert|verarbeitet)\b"
    r"|\bläuft (?:noch|weiter|bereits)\b|\bin bearbeitung\b|\babge(?:brochen|bucht)\b"
    r"|\bem (?:andamento|processamento|fila)\b|\bsendo (?:gerad|processad)|\bin (?:corso|elaborazione|coda)\b"
    r"|\b(?:annullat|addebitat)[oa]\b|\b(?:обрабатыва|генериру|выполня)ется\b|\bотмен[её]н|\bсписан|\bсоздан[оа]?\b",
}
OF_OTHERS = ("it goes on", "it was waited for")  # where there were too many requests, other work may be meant
SIGN = re.compile("|".join(SIGNS.values()))
SIGN_OF_OURS = re.compile("|".join(sign for name, sign in SIGNS.items() if name not in OF_OTHERS))


def tells_of_work(said: str, *, too_many: bool) -> bool:
    """`said`: plain words, none of them quoted from the prompt. `too_many`: it refuses one request too many."""
    told = NOT_DONE.sub(" ", said)
    sign = SIGN_OF_OURS if too_many else SIGN
    return sign.search(told) is not None or bool(JOB_SOUGHT.search(told) and not NAMES_MODEL.search(told))
