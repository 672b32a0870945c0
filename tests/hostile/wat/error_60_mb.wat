;; Its error is 60 MB of JSON: 15 million empty arrays. To parse it is seconds and gigabytes.
;;@in-call
(local $at i32)
(drop (memory.grow (i32.const 1000)))
(local.set $at (i32.const 65536))
(loop $more
  (i32.store (local.get $at) (i32.const 0x202c5d5b))
  (br_if $more (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (i32.const 62914556))))
(i32.store (i32.const 65536) (i32.const 0x2c5d5b5b))
(i32.store (i32.const 62914552) (i32.const 0x5d5d5b20))
(i32.store (i32.const 48) (i32.const 1))
(i32.store (i32.const 52) (i32.const 65536))
(i32.store (i32.const 56) (i32.sub (i32.const 62914556) (i32.const 65536)))
