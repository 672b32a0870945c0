;; Its result lies outside of its memory.
;;@in-call
(i32.store (i32.const 52) (i32.const 0x7ffffff0))
(i32.store (i32.const 56) (i32.const 0x7fffffff))
