"""`examples/outbox` as one would write it first: the other wallet is called in the turn that debits."""

from __future__ import annotations

from holdfast import StatefulActor


class Wallet(StatefulActor):
    """The same methods, and wrong: two turns commit one after the other, and something can die between them."""

    def deposit(self, amount: int) -> dict[str, int]:
        return {"balance": self._add(amount)}

    def send(self, transfer: str, to: str, amount: int) -> dict[str, bool | int]:
        if self.ctx.storage.get(f"sent:{transfer}") is not None:
            return {"ok": True, "balance": self._add(0)}
        if self._add(0) < amount:
            return {"ok": False, "balance": self._add(0)}
        self.env.WALLET.id_from_name(to).receive(amount)
        self.ctx.storage.put(f"sent:{transfer}", {"to": to, "amount": amount})
        return {"ok": True, "balance": self._add(-amount)}

    def receive(self, amount: int) -> None:
        self._add(amount)

    def balance(self) -> dict[str, int]:
        return {"balance": self.ctx.storage.get("balance", 0), "on_the_way": 0}

    def _add(self, amount: int) -> int:
        balance: int = self.ctx.storage.get("balance", 0) + amount
        self.ctx.storage.put("balance", balance)
        return balance
