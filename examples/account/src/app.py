from holdfast import Env, Request, Response, StatefulActor


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


def fetch(request: Request, env: Env) -> Response:
    """The HTTP face of the accounts."""
    match request.method, *request.path.strip("/").split("/"):
        case "POST", "accounts", name, "deposit" | "debit" as method if name:
            amount = amount_of(request)
            if amount is None:
                return Response.json({"error": "amount (number) required"}, 400)
            account = env.ACCOUNT.id_from_name(name)
            result = account.deposit(amount) if method == "deposit" else account.debit(amount)
            return Response.json({"account": name, **result})
        case "GET", "accounts", name, "balance" if name:
            return Response.json({"account": name, **env.ACCOUNT.id_from_name(name).balance()})
        case "GET", "health", "liveness" | "readiness":
            return Response("ok")
    return Response("not found", 404)


def amount_of(request: Request) -> int | float | None:
    """The amount in a JSON body; None where it is missing or no number."""
    try:
        amount = request.json()["amount"]
    except (ValueError, LookupError, TypeError):
        return None
    return amount if isinstance(amount, int | float) and not isinstance(amount, bool) else None
