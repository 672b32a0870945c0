"""Engine, compiling, validation, and one live component instance. The only importer of wasmtime."""
