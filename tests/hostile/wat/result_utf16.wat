;; Its result is valid UTF-8 and, as UTF-16, valid JSON: a parser that guesses encodings lets it pass.
;;@core-fields
(data (i32.const 1024) "\00[\00]")
;;@in-call
(i32.store (i32.const 52) (i32.const 1024))
(i32.store (i32.const 56) (i32.const 4))
