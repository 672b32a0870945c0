using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .actor),
    (name = "disk", disk = (path = "DATA", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:PORT", http = (), service = "main")],
);

const actor :Workerd.Worker = (
  modules = [(name = "MODULE", esModule = embed "MODULE")],
  compatibilityDate = "2026-11-01",
  durableObjectNamespaces = [(className = "CLASS", uniqueKey = "actor")],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [(name = "ACTOR", durableObjectNamespace = "CLASS")],
);
