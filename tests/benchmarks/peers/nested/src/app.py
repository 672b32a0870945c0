"""An account, and an actor on the way to it."""

from __future__ import annotations

from holdfast import StatefulActor


class Account(StatefulActor):
    """The same account as the one that is measured alone."""

    def deposit(self, amount: int) -> dict[str, int]:
        balance = self.ctx.storage.get("balance", 0) + amount
        self.ctx.storage.put("balance", balance)
        return {"balance": balance}

    def balance(self) -> dict[str, int]:
        return {"balance": self.ctx.storage.get("balance", 0)}


class Teller(StatefulActor):
    """Passes on to the account of its own name."""

    def deposit(self, amount: int) -> dict[str, int]:
        result: dict[str, int] = self.env.ACCOUNT.id_from_name(self.ctx.name).deposit(amount=amount)
        return result

    def balance(self) -> dict[str, int]:
        result: dict[str, int] = self.env.ACCOUNT.id_from_name(self.ctx.name).balance()
        return result

    def record(self, amount: int) -> dict[str, int]:
        """Writes, too."""
        result: dict[str, int] = self.env.ACCOUNT.id_from_name(self.ctx.name).deposit(amount=amount)
        self.ctx.storage.put("last", result["balance"])
        return result
