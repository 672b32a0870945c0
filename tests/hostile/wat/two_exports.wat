;;@core-fields
(func (export "number") (param i32 i32 i32 i32 i32 i32) (result i64) (i64.const 0x4141414141414141))
;;@replace
  (export "holdfast:actor/instance@1.0.0" (instance $exports)))
;;@by
  (func $number (param "method" string) (param "arguments" string) (param "typed-arguments" bool)
      (param "typed-result" bool) (result u64)
    (canon lift (core func $guest "number") (memory (core memory $guest "memory"))
      (realloc (core func $guest "realloc"))))
  (instance $deadly
    (export "describe" (func $describe))
    (export "activate" (func $activate))
    (export "call" (func $number)))
  (export "holdfast:actor/instance@1.0.1" (instance $exports))
  (export "holdfast:actor/instance@1.0.0" (instance $deadly)))
