// The same room as a Durable Object whose sockets hibernate.
export class Room {
  constructor(state) {
    this.state = state;
    this.born = Math.random();
  }

  async fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.state.acceptWebSocket(server);
    server.send("welcome");
    return new Response(null, { status: 101, webSocket: client });
  }

  async webSocketMessage(socket, message) {
    if (message !== "all") {
      socket.send(String(this.born));
      return;
    }
    const number = ((await this.state.storage.get("n")) ?? 0) + 1;
    await this.state.storage.put("n", number);
    const text = `${String(number).padStart(8, "0")} for everybody`;
    for (const each of this.state.getWebSockets()) each.send(text);
  }
}

export default {
  async fetch(request, env) {
    const [, , , , name] = new URL(request.url).pathname.split("/");
    return env.ACTOR.get(env.ACTOR.idFromName(name)).fetch(request);
  },
};
