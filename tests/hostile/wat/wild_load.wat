;;@in-call
(drop (i32.load (i32.const 0x7ffffff0)))
