;; Its result begins with a byte order mark.
;;@core-fields
(data (i32.const 1024) "\ef\bb\bf[]")
;;@in-call
(i32.store (i32.const 52) (i32.const 1024))
(i32.store (i32.const 56) (i32.const 5))
