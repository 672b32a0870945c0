;; Neither ok nor err.
;;@in-call
(i32.store (i32.const 48) (i32.const 7))
