"""The HTTP process. The only importer of aiohttp; it never loads wasmtime."""
