from holdfast import Env, Request, Response


def fetch(request: Request, env: Env) -> Response:
    """Show balances of accounts that another function owns; nothing here can change one."""
    match request.method, *request.path.strip("/").split("/"):
        case "GET", "accounts", name, "balance" if name:
            found = env.READONLY.id_from_name(name).balance()
            return Response.json({"account": name, **found, "via": "READONLY->Account(shared)"})
    return Response("not found", 404)
