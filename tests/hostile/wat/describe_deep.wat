;; Its description is 4 million opening brackets.
;;@in-describe
(drop (memory.grow (i32.const 100)))
(memory.fill (i32.const 65536) (i32.const 0x5b) (i32.const 4000000))
(i32.store (i32.const 20) (i32.const 65536))
(i32.store (i32.const 24) (i32.const 4000000))
