//! Priorities of threads, by which work that can wait leaves the processors to work that somebody waits for.
//! A priority only goes down: to raise one takes a right that a server should not have, so that each kind of work has threads of its own.

/// Makes this thread nicer by so much, for good. Where that cannot be done, its work competes with all other as an equal.
#[cfg(target_os = "linux")]
pub fn step_back(niceness: i32) {
    // On Linux a priority is a thread's own; elsewhere it would be the process's.
    let _ = rustix::process::nice(niceness);
}

/// On other systems it changes nothing.
#[cfg(not(target_os = "linux"))]
pub fn step_back(_: i32) {}
