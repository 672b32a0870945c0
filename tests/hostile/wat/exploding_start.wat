;; The start function takes memory until it is refused, and then aborts.
;;@core-fields
(func $start (loop $again (br_if $again (i32.ne (memory.grow (i32.const 100)) (i32.const -1)))) (unreachable))
(start $start)
