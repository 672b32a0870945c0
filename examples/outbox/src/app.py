import re
import time

from holdfast import ActorCallError, ActorError, AlarmInfo, StatefulActor

BATCH = 20  # transfers that one alarm delivers: its turn keeps the wallet's other calls waiting
TRY_AGAIN_S = 1.0
TRANSFER = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Wallet(StatefulActor):
    """Money that goes from wallet to wallet; nothing is lost or doubled on the way, whatever dies meanwhile.

    `sent:TRANSFER` holds each transfer from here; `outbox:TIME:TRANSFER` is one that the other wallet has not taken
    yet, by the time of the next try; `received:SENDER:TRANSFER` holds each transfer that came in.
    """

    def deposit(self, amount: int) -> dict:
        """Add funds from outside."""
        return {"balance": self._add(amount)}

    def send(self, transfer: str, to: str, amount: int) -> dict:
        """Take funds out and owe them to another wallet, in one turn: both are committed, or neither.

        The caller names the transfer, and may ask again with the same name when no answer came.
        """
        self._check(transfer, to, amount)
        already = self.ctx.storage.get(f"sent:{transfer}")
        if already is not None:
            if (already["to"], already["amount"]) != (to, amount):
                raise ActorError(f"transfer {transfer} is another one", code="transfer_exists", status=409)
            return {"ok": True, "balance": self._balance()}
        if self._balance() < amount:
            return {"ok": False, "balance": self._balance()}
        self.ctx.storage.put(f"sent:{transfer}", {"to": to, "amount": amount, "done": False})
        self._put_out(transfer, time.time())
        return {"ok": True, "balance": self._add(-amount)}

    def alarm(self, info: AlarmInfo) -> None:
        """Deliver what is due, and mark it done. Whatever dies on the way, this runs again and sends it again."""
        for key in self.ctx.storage.list(prefix="outbox:", end=f"outbox:{_microseconds(time.time())};", limit=BATCH):
            transfer = key.split(":", 2)[2]
            sent = self.ctx.storage.get(f"sent:{transfer}")
            self.ctx.storage.delete(key)
            try:
                self.env.WALLET.id_from_name(sent["to"]).receive(self.ctx.name, transfer, sent["amount"])
            except ActorCallError as failure:  # perhaps it was taken all the same: sent again, it counts once
                print(f"{transfer} to {sent['to']} has to wait: {failure}")
                self._put_out(transfer, time.time() + TRY_AGAIN_S)
            else:
                self.ctx.storage.put(f"sent:{transfer}", {**sent, "done": True})
        self._set_alarm()

    def receive(self, sender: str, transfer: str, amount: int) -> bool:
        """Take a transfer in, once, however often it comes; whether it was new."""
        key = f"received:{sender}:{transfer}"
        if self.ctx.storage.get(key) is not None:
            return False
        self.ctx.storage.put(key, amount)
        self._add(amount)
        return True

    def balance(self) -> dict:
        """What the wallet holds, and how many of its transfers are still on the way."""
        return {"balance": self._balance(), "on_the_way": sum(1 for _ in self.ctx.storage.scan(prefix="outbox:"))}

    def _check(self, transfer: str, to: str, amount: int) -> None:
        """Refuse here what the alarm could never deliver."""
        if not isinstance(transfer, str) or not TRANSFER.fullmatch(transfer):
            raise ActorError("a transfer is named by 1 to 64 letters, digits, '-' and '_'", code="bad_transfer")
        if type(amount) is not int or amount <= 0:
            raise ActorError("an amount is a whole number above 0", code="bad_amount")
        try:
            self.env.WALLET.id_from_name(to)
        except (TypeError, ValueError) as error:
            raise ActorError(str(error), code="bad_wallet") from None
        if to == self.ctx.name:
            raise ActorError("a transfer goes to another wallet", code="bad_wallet")

    def _balance(self) -> int:
        return self.ctx.storage.get("balance", 0)

    def _add(self, amount: int) -> int:
        balance = self._balance() + amount
        self.ctx.storage.put("balance", balance)
        return balance

    def _put_out(self, transfer: str, due_s: float) -> None:
        self.ctx.storage.put(f"outbox:{_microseconds(due_s)}:{transfer}", True)
        self._set_alarm()

    def _set_alarm(self) -> None:
        for key in self.ctx.storage.list(prefix="outbox:", limit=1):
            self.ctx.storage.set_alarm(int(key.split(":")[1]) / 1e6)


def _microseconds(seconds: float) -> str:
    return f"{round(seconds * 1e6):017}"
