//! What is printed of times and of a process's memory.

use std::time::Duration;

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The time that a share of all does not exceed.
pub(crate) fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let at = (times.len() as f64 * share) as usize;
    times.get(at.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// What of this process is in memory now, how much of that are mapped files, and the most that ever was.
pub(crate) fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim_start_matches(':').split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
        kib.unwrap_or(0) / 1_024
    };
    format!("{} MiB in memory, {} of them mapped files, {} at most", mib("VmRSS"), mib("RssFile"), mib("VmHWM"))
}
