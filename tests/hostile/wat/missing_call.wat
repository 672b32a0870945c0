;;@replace
(export "call" (func $call))
;;@by
