;; Fills 62 MB by a single instruction, in each call, and changes nothing.
;; What the host hands over is written from the second page on and never read; zeros at address 0 are an outcome without a change.
(module
  (memory (export "memory") 4)
  (table $hoard 1 funcref)
  (global $free (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $start i32)
    (local.set $start (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $start) (local.get 3)))
    (local.get $start))
  (func (export "cofferdam:hooks/pre-hook@0.2.0#on-request") (param $request i32) (result i32)
    (local $at i32)
    (if (i32.eq (memory.grow (i32.const 992)) (i32.const -1)) (then (unreachable)))
    (memory.fill (i32.const 262144) (i32.const 0) (i32.const 65011712))
    (i32.const 0))

  ;; The record `description`: name, version and summary as pointer and length, and an option that is none.
  (data (i32.const 1100) "memory-fill0.1.0A guest of the tests.")
  (data (i32.const 1024) "\4c\04\00\00\0b\00\00\00\57\04\00\00\05\00\00\00\5c\04\00\00\15\00\00\00\00\00\00\00")
  (func (export "cofferdam:hooks/plugin@0.2.0#describe") (result i32)
    (i32.const 1024)))
