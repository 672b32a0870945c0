;; Its description lies outside of its memory.
;;@in-describe
(i32.store (i32.const 20) (i32.const 0x7fffff00))
