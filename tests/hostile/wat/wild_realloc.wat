;; Where the host asks for room it is given the end of the world.
;;@core-fields
(func $wild (param i32 i32 i32 i32) (result i32) (i32.const 0x7fffffff))
;;@replace
(func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (i32.const 4096))
;;@by
(func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (call $wild (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
