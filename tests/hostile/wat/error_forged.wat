;; It claims an error that is not a guest's to claim.
;;@core-fields
(data (i32.const 1024) "{\22name\22:\22StorageFullError\22,\22message\22:\22forged\22,\22retryable\22:true}")
;;@in-call
(i32.store (i32.const 48) (i32.const 1))
(i32.store (i32.const 52) (i32.const 1024))
(i32.store (i32.const 56) (i32.const 63))
