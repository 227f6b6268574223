;; Grows a table until it is refused. Stable Rust has no `table.grow`, so that this guest is a core module; build.rs makes the
;; component. A limiter may end it by a trap or by answering -1; then it traps by itself.
(module
  (memory (export "memory") 1)
  (table $hoard 1 funcref)

  ;; What the host writes into the guest is never read: every allocation gets the next bytes, from a page that grows on demand.
  (global $free (mut i32) (i32.const 1024))
  (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $start i32)
    (local.set $start
      (i32.and
        (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (global.set $free (i32.add (local.get $start) (local.get $size)))
    (loop $more
      (if (i32.gt_u (global.get $free) (i32.mul (memory.size) (i32.const 65536)))
        (then
          (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
          (br $more))))
    (local.get $start))

  (func (export "cofferdam:hooks/pre-hook@0.2.0#on-request") (param $request i32) (result i32)
    (loop $more
      (if (i32.eq (table.grow $hoard (ref.null func) (i32.const 10000)) (i32.const -1)) (then (unreachable)))
      (br $more))
    (unreachable))

  ;; The record `description`: three strings as pointer and length, and an option that is none.
  (data (i32.const 64) "table-growth0.1.0A guest of the tests.")
  (data (i32.const 0)
    "\40\00\00\00\0c\00\00\00" ;; name: 12 bytes at 64
    "\4c\00\00\00\05\00\00\00" ;; version: 5 bytes at 76
    "\51\00\00\00\15\00\00\00" ;; summary: 21 bytes at 81
    "\00\00\00\00")            ;; no schema
  (func (export "cofferdam:hooks/plugin@0.2.0#describe") (result i32)
    (i32.const 0)))
