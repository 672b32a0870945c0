;; The start function never returns.
;;@core-fields
(func $start (loop $again (br $again))) (start $start)
