;;@replace
(export "call" (func $call))
;;@by
(export "call" (func $describe))
