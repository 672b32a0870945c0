// The same actor as a Durable Object: read, add, write; the runtime holds the response until the write is on disk.
export class Account {
  constructor(state) {
    this.storage = state.storage;
  }

  async fetch(request) {
    const method = new URL(request.url).pathname.split("/").pop();
    if (method === "empty") return new Response("null");
    const balance = (await this.storage.get("balance")) ?? 0;
    if (method === "balance") return Response.json({ balance });
    const { amount } = await request.json();
    if (method === "debit" && balance < amount) return Response.json({ ok: false, balance });
    const after = method === "debit" ? balance - amount : balance + amount;
    await this.storage.put("balance", after);
    return Response.json(method === "debit" ? { ok: true, balance: after } : { balance: after });
  }
}

export default {
  async fetch(request, env) {
    const [, , , , name] = new URL(request.url).pathname.split("/");
    return env.ACTOR.get(env.ACTOR.idFromName(name)).fetch(request);
  },
};
