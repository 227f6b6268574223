//! What `/metrics` says of this build and of its process, under the names that Prometheus's own clients use.
//! Read when it is asked for. What the system does not tell has no line: a zero would be a statement.

use std::time::Duration;
use std::{fmt, fs};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Of `/proc/PID/stat`, counted from 1 as in proc_pid_stat(5).
const START_TIME: usize = 22;

/// The unit of times in `/proc`. It is a part of Linux's interface, the same on every architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Says which build this is: `cofferdam_build_info`. A version that is upgraded is then seen beside what it changed.
pub(super) fn build(registry: &mut Registry) {
    let labels = vec![("version", env!("CARGO_PKG_VERSION")), ("os", std::env::consts::OS), ("arch", std::env::consts::ARCH)];
    registry.register("build", "The version that runs, and what it was built for", Info::new(labels));
}

/// Whose names have no prefix of ours.
pub(super) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    registry
}

/// Reads the figures each time.
#[derive(Debug)]
struct Process;

/// What the system tells of a process.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
    /// In seconds since 1970.
    start_seconds: Option<f64>,
}

impl Collector for Process {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let Figures { cpu_seconds, resident_bytes, virtual_bytes, open_fds, max_fds, start_seconds } = figures();
        counter(&mut to, "process_cpu", "Processor time, the system's for it included", Unit::Seconds, cpu_seconds)?;
        gauge(&mut to, "process_resident_memory", "Memory that is resident", Some(Unit::Bytes), resident_bytes)?;
        gauge(&mut to, "process_virtual_memory", "Memory that is mapped", Some(Unit::Bytes), virtual_bytes)?;
        gauge(&mut to, "process_open_fds", "Open file descriptors", None, open_fds)?;
        gauge(&mut to, "process_max_fds", "File descriptors that may be open", None, max_fds)?;
        gauge(&mut to, "process_start_time", "When the process started, since 1970", Some(Unit::Seconds), start_seconds)
    }
}

fn counter(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, unit: Unit, value: Option<f64>) -> fmt::Result {
    let Some(value) = value else { return Ok(()) };
    let counter = ConstCounter::new(value);
    counter.encode(to.encode_descriptor(name, help, Some(&unit), counter.metric_type())?)
}

fn gauge<N: EncodeGaugeValue>(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, unit: Option<Unit>, value: Option<N>) -> fmt::Result {
    let Some(value) = value else { return Ok(()) };
    let gauge = ConstGauge::new(value);
    gauge.encode(to.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?)
}

fn figures() -> Figures {
    Figures {
        cpu_seconds: cpu_seconds(),
        resident_bytes: status("VmRSS:"),
        virtual_bytes: status("VmSize:"),
        // The one with which they are counted is not one of them.
        open_fds: fs::read_dir("/proc/self/fd").ok().map(|open| (open.count() as u64).saturating_sub(1)),
        max_fds: getrlimit(Resource::Nofile).current,
        start_seconds: fs::read_to_string("/proc/self/stat").ok().zip(fs::read_to_string("/proc/stat").ok()).and_then(start_seconds),
    }
}

fn cpu_seconds() -> Option<f64> {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(used).ok().map(|used| used.as_secs_f64())
}

/// A size out of `/proc/self/status`, which has it in kibibytes.
fn status(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

/// Out of a process's `stat`, which counts from the start of the machine, and the machine's, which has that.
fn start_seconds((process, machine): (String, String)) -> Option<f64> {
    // The process's name stands in brackets, and may hold both blanks and brackets.
    let (_, after_the_name) = process.rsplit_once(") ")?;
    let ticks: f64 = after_the_name.split(' ').nth(START_TIME - 3)?.parse().ok()?;
    let boot: f64 = machine.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + ticks / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode_registry;

    use super::*;

    fn shown() -> String {
        let mut text = String::new();
        encode_registry(&mut text, &registry()).unwrap();
        text
    }

    fn value(text: &str, name: &str) -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_shown_as_prometheus_clients_show_theirs() {
        let text = shown();
        let value = |name: &str| value(&text, name);
        assert!(
            value("process_resident_memory_bytes") > 1e6 && value("process_virtual_memory_bytes") > value("process_resident_memory_bytes")
        );
        assert!(value("process_cpu_seconds_total") >= 0.0);
        // Of a year in which this was written, and not since the machine came up.
        assert!(value("process_start_time_seconds") > 1.7e9);
        assert!((3.0..=value("process_max_fds")).contains(&value("process_open_fds")));
        assert!(text.contains("# TYPE process_cpu_seconds counter\n") && text.contains("# UNIT process_cpu_seconds seconds\n"), "{text}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_is_opened_is_one_descriptor_more() {
        let open = || figures().open_fds.unwrap();
        // Other tests open files meanwhile, but not by the hundreds.
        let before = open();
        let files: Vec<_> = (0..400).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        assert!(open() >= before + 200, "{before} and then {}", open());
        drop(files);
    }

    #[test]
    fn the_start_is_read_whatever_the_process_is_called() {
        let machine = "cpu  1 2 3\nbtime 1700000000\nprocesses 9\n";
        let read = |name: &str| {
            let fields = "S 1 1 1 0 -1 4194560 9 0 0 0 1 2 0 0 20 0 3 0 12345 1000 200";
            start_seconds((format!("7 ({name}) {fields}"), machine.into()))
        };
        assert_eq!((read("cofferdam"), read("a) (b) 1 2")), (Some(1_700_000_123.45), Some(1_700_000_123.45)));
        assert_eq!(start_seconds(("7 (x) S 1".into(), machine.into())), None);
    }

    #[cfg(not(target_os = "linux"))]
    #[test]
    fn what_the_system_does_not_tell_has_no_line() {
        assert!(!shown().contains("process_"));
    }
}
