;; Python reads NaN; JSON does not have it.
;;@core-fields
(data (i32.const 1024) "[NaN]")
;;@in-call
(i32.store (i32.const 52) (i32.const 1024))
(i32.store (i32.const 56) (i32.const 5))
