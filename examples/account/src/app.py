from holdfast import StatefulActor


class Account(StatefulActor):
    def deposit(self, amount: int) -> dict:
        """Add funds; returns the new balance."""
        balance = self.ctx.storage.get("balance", 0) + amount
        self.ctx.storage.put("balance", balance)
        return {"balance": balance}

    def debit(self, amount: int) -> dict:
        """Take funds out, unless the account does not hold that much."""
        balance = self.ctx.storage.get("balance", 0)
        if balance < amount:
            return {"ok": False, "balance": balance}  # check, then act: no lock
        self.ctx.storage.put("balance", balance - amount)
        return {"ok": True, "balance": balance - amount}

    def balance(self) -> dict:
        """What the account holds."""
        return {"balance": self.ctx.storage.get("balance", 0)}
