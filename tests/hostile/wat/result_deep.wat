;; Its result is nested 400 deep.
;;@in-call
(memory.fill (i32.const 1024) (i32.const 0x5b) (i32.const 400))
(memory.fill (i32.const 1424) (i32.const 0x5d) (i32.const 400))
(i32.store (i32.const 52) (i32.const 1024))
(i32.store (i32.const 56) (i32.const 800))
