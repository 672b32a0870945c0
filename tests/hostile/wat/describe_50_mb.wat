;; Its description has 50 MB.
;;@in-describe
(drop (memory.grow (i32.const 900)))
(memory.fill (i32.const 65536) (i32.const 0x20) (i32.const 52428800))
(i32.store (i32.const 20) (i32.const 65536))
(i32.store (i32.const 24) (i32.const 52428800))
