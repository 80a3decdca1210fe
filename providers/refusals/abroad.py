"""How refusals of content, and of keys and accounts, read in other languages than English. Pure.

In plain words (`providers.refusals.plain`): Spanish, French, German, Portuguese, Italian, Russian, Chinese in both
scripts, Japanese, Korean.
"""

import re

RULES = (
    r"(?:pol[ií]ti(?:c|qu|ch)\w+|normas?|normes?|norme|directrices|directives|diretrizes|linee guida|t[eé]rmi?nos"
    r"|termos|termini|policy|reglas|règles|regras|regole|conditions|condiciones)"
)
OF_CONTENT = r"(?:conten\w+|conteúdos?|uso|utilisation|utilizzo|seguridad|sécurité|segurança|sicurezza|moderación)"
CONTENT_ABROAD = re.compile(
    r"\b(?:contenido|contenu|conteúdo|contenut[oi]|prompt|texto|texte|testo|solicitud)s?(?: \S+){0,6}? (?:infring|viol"
    r"|incumpl|enfrein|contraire|ina?pp?ropri|inapropiad|impr[óo]pri|inadequad|pro[hi]+bid|interdit|vietat|sensi[bv]"
    r"|expl[ií]cit|esplicit|offensant|rechazad|refusée?|rejeté|rejeitad|rifiutat|bloque|bloqué|bloccat"
    r"|(?:no|não) permitid|non (?:consentit|autoris))"
    rf"|\b(?:infring\w*|viol\w*|incumpl\w*|enfrei\w*|contrair[ea]s?)(?: \S+){{0,4}} {RULES}\b"
    rf"|\b{RULES} (?:de |d |sui |sul |di |da |del? )?(?:la )?(?:{OF_CONTENT}|comuni\w+|communauté|community)\b"
    r"|\b(?:inhalts|nutzungs|sicherheits|moderations|community) ?(?:richtlinien?|regeln)\b"
    r"|\bverst(?:ö|oe)(?:ß|ss)t(?: \S+){0,3}? gegen(?: \S+){0,4}? \S*(?:richtlinien?|regeln|bedingungen|standards)\b"
    r"|\b(?:inhalte?|prompt)s?(?: \S+){0,6}? (?:unangemessen|unzulässig|anstößig|gesperrt|blockiert|verboten|abgelehnt"
    r"|nicht (?:erlaubt|zulässig|gestattet))"
    r"|\b(?:unangemessen|unzulässig|anstößig|verboten|sensib|sexuell)\w* (?:inhalt|begriff|wörter)"
    r"|\bнаруша\w+(?: \S+){0,4} (?:политик|правил|услови|стандарт)"
    r"|\bполитик\w+ (?:в отношении )?(?:контента|содерж\w+|безопасности|использования|модерации)\b"
    r"|\b(?:запрещ[её]нн|недопустим|неприемлем|непристойн)\w* (?:\S+ )?(?:контент|содерж|слов|материал)"
    r"|\b(?:промпт|контент|содержимое)\w*(?: \S+){0,4} (?:запрещ|недопустим|отклон|заблокир|наруша)"
    r"|违规|違規|违禁|違禁|敏感|不合规|不合規|[审審]核(?!中)|涉政|色情|暴力|血腥|低俗|不[当當][内內]容"
    r"|[内內]容(?:政策|安全|不)|[违違]反.{0,12}?(?:政策|[规規]定|[规規][则則范範]|[条條]款"
    r"|法律|[准準][则則]|守[则則])"
    r"|コンテンツ ?(?:ポリシー|ガイドライン|フィルタ)|(?:ポリシー|ガイドライン|規約).{0,8}?違反|不適切|公序良俗"
    r"|禁止(?:された|ワード|用語)|(?:有害|性的|暴力的|センシティブ|わいせつ)な"
    r"|(?:콘텐츠|컨텐츠|커뮤니티|사용|이용|안전) ?(?:정책|가이드라인|규정)|(?:정책|가이드라인|규정).{0,8}?위반"
    r"|부적절|유해한|선정적|음란|민감한|폭력적"
)
OWNER = (
    r"(?:api ?(?:key|schlüssel|キー|키)|\b(?:clé|clave|chave|chiave)s? (?:d |de |da )?(?:la )?api"
    r"|密[钥鑰]|金鑰|令牌|[账帳][号號户戶]|用[户戶]|アカウント|계정"
    r"|\bключ|\bаккаунт|\bуч[её]тн\w+ запис|\b(?:cuenta|compte|konto|conta|account)\b)"
)
REFUSED = (
    r"(?:[无無]效|[错錯][误誤]|[过過]期|停用|禁用|封禁|封[锁鎖]|[冻凍][结結]"
    r"|不正[确確]|不存在|無効|停止|유효하지|정지|차단|недейств"
    r"|заблокир|отключ|неверн|(?:suspend|bloque|desactiv|deshabilit|desativ|bloqui)[ae]d[oa]|suspendid[oa]|suspensa"
    r"|inv[áa]lid|no válida|non valid|suspendu|désactiv|invalide|bloqué|gesperrt|ungültig|deaktiviert"
    r"|sospes|disattivat)"
)
CONTENT_WORD = r"(?:[内內]容|[输輸]入|提示|prompt|conten|conteúdo|inhalt|コンテンツ|콘텐츠|контент)"
KEY_ABROAD = re.compile(
    rf"{OWNER}(?:(?!{CONTENT_WORD}).){{0,40}}?{REFUSED}"
    r"|(?:[无無]效|[过過]期|[错錯][误誤])的? ?(?:api ?key|令牌|密[钥鑰]|token)|token ?已?(?:[无無]效|[过過]期)"
)
