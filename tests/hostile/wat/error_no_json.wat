;;@core-fields
(data (i32.const 1024) "no JSON")
;;@in-call
(i32.store (i32.const 48) (i32.const 1))
(i32.store (i32.const 52) (i32.const 1024))
(i32.store (i32.const 56) (i32.const 7))
