;; Where the host asks for room it waits for ever. Descriptions take none, so it passes its deploy.
;;@replace
(func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (i32.const 4096))
;;@by
(func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (loop $again (br $again)) (i32.const 4096))
