using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .account),
    (name = "disk", disk = (path = "DATA", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:PORT", http = (), service = "main")],
);

const account :Workerd.Worker = (
  modules = [(name = "account.js", esModule = embed "account.js")],
  compatibilityDate = "2026-11-01",
  durableObjectNamespaces = [(className = "Account", uniqueKey = "account")],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [(name = "ACCOUNT", durableObjectNamespace = "Account")],
);
