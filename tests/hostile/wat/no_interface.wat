;;@replace
holdfast:actor/instance@1.0.0
;;@by
holdfast:actor/instance@9.0.0
