;;@core-fields
(data (i32.const 1024) "\22\ff\22")
;;@in-call
(i32.store (i32.const 52) (i32.const 1024))
(i32.store (i32.const 56) (i32.const 3))
