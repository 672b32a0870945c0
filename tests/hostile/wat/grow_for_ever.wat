;; It asks for memory, is refused, and asks again.
;;@in-call
(loop $again (drop (memory.grow (i32.const 1))) (br $again))
