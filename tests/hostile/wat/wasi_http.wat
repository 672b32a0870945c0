;;@imports
(import "wasi:http/outgoing-handler@0.2.9" (instance))
