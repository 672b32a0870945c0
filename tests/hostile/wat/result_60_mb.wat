;;@in-call
(drop (memory.grow (i32.const 1000)))
(memory.fill (i32.const 65536) (i32.const 0x5b) (i32.const 62914560))
(i32.store (i32.const 52) (i32.const 65536))
(i32.store (i32.const 56) (i32.const 62914560))
