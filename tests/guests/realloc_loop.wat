;; Runs without end when it is asked for memory, to be handed the request.
;; Zeros at address 0 are an outcome without a change.
(module
  (memory (export "memory") 4)
  (global $free (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $start i32)
    (loop $more (br $more))
    (local.set $start (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $start) (local.get 3)))
    (local.get $start))
  (func (export "cofferdam:hooks/pre-hook@0.2.0#on-request") (param $request i32) (result i32)
    (i32.const 0))
  ;; The record `description`: name, version and summary as pointer and length, and an option that is none.
  (data (i32.const 1100) "realloc-loop0.1.0A guest of the tests.")
  (data (i32.const 1024) "\4c\04\00\00\0c\00\00\00\58\04\00\00\05\00\00\00\5d\04\00\00\15\00\00\00\00\00\00\00")
  (func (export "cofferdam:hooks/plugin@0.2.0#describe") (result i32)
    (i32.const 1024)))
