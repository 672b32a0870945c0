;; Its description is the first 5 bytes of one.
;;@in-describe
(i32.store (i32.const 24) (i32.const 5))
