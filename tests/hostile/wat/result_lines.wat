;; Its result is JSON with line breaks and blanks around it.
;;@core-fields
(data (i32.const 1024) "\0d\0a\09 {\22a\22 :\0a1 } \0a")
;;@in-call
(i32.store (i32.const 52) (i32.const 1024))
(i32.store (i32.const 56) (i32.const 16))
