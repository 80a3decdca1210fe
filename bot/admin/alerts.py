"""Sends alerts to operators, each once, in the operator's language."""

import asyncio
import logging

from aiogram.exceptions import TelegramAPIError

from bot.admin.alert_words import SAYINGS, unknown
from bot.delivery.address import user_id
from bot.translations import Words
from bot.transport.client import SendError, TelegramClient
from bot.transport.replies import compose
from pipeline.ledger.alerts import Alert, Alerts
from pipeline.ledger.transports.common import LedgerError
from pipeline.ledger.users import Customers

LOOK_SECONDS = 20.0

log = logging.getLogger(__name__)


class OperatorAlerts:
    def __init__(self, client: TelegramClient, alerts: Alerts, customers: Customers, admins: frozenset[int]) -> None:
        self._client, self._alerts, self._customers, self._admins = client, alerts, customers, admins

    async def keep(self, look_seconds: float = LOOK_SECONDS) -> None:
        """Sends new alerts every `look_seconds`, until canceled."""
        while True:
            try:
                await self.tell_all()
            except LedgerError as error:
                log.warning("alarms", extra={"action": "alarms_unread", "error": str(error)})
            except Exception:  # one failing alert must not stop all later ones
                log.exception("alarms", extra={"action": "alarms_failed"})
            await asyncio.sleep(look_seconds)

    async def tell_all(self) -> None:
        """Sends every new alert to every operator, even if some operators cannot be reached."""
        for alert in await self._alerts.take():
            log.warning("alert", extra={"action": "alert", "key": alert.key})
            try:
                await self._tell_operators(alert)
            except LedgerError:
                raise
            except Exception:  # an alert that cannot be rendered does not stop the others
                log.exception("alert", extra={"action": "alert_failed", "key": alert.key})

    async def _tell_operators(self, alert: Alert) -> None:
        reached = [await self._tell(alert, admin) for admin in sorted(self._admins)]
        if any(reached) or not self._admins:
            await self._alerts.mark_notified(alert)

    async def _tell(self, alert: Alert, admin: int) -> bool:
        customer = await self._customers.get(user_id(admin))
        text = SAYINGS.get(alert.kind, unknown)(alert, Words(customer.preferences.language or "en"))
        try:
            await self._client.say(compose(admin, text, None, None, None), admin)
        except (SendError, TelegramAPIError) as error:
            log.warning("alert", extra={"action": "alert_unsaid", "key": alert.key, "error": type(error).__name__})
            return False
        return True
