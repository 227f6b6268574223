//! What is known of one file of the plugin directory, and which of several files has a plugin's name.
//! A name belongs to the file of that name, whatever order files were read in and whatever state that file is in.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::live::{Pending, PluginStatus};
use crate::sandbox::admit::own_name;
use crate::sandbox::plugin::Plugin;

/// Files by name.
pub(super) type Files = BTreeMap<String, Known>;

/// The pause before a file is tried again is doubled so many times at most.
const DOUBLINGS_MAX: u32 = 6;

/// One file.
#[derive(Default)]
pub(super) struct Known {
    pub(super) stamp: Option<Stamp>,
    /// The hash of the bytes that were tried last.
    pub(super) hash: String,
    pub(super) live: Option<Arc<Plugin>>,
    pub(super) refusal: Option<String>,
    /// It waits to be admitted, or is being admitted.
    pub(super) loading: bool,
    /// It was refused because the machine was at fault, and no later try has told yet whether it is any good.
    pub(super) untried: bool,
    /// Its file is no longer there.
    pub(super) gone: bool,
    /// What became of its last good version, if nothing else of it is live.
    pub(super) restore: Restore,
    pub(super) restoring: Backoff,
    /// When these bytes are tried again, for it was the machine that failed.
    retry: Backoff,
    /// When its live version is kept as its last good one, for that failed.
    pub(super) keeping: Backoff,
    /// It was said in the log that another file has its plugin's name.
    displaced: bool,
}

/// The way of a last good version back to where it serves.
#[derive(Default)]
pub(super) enum Restore {
    /// Nobody has looked for one.
    #[default]
    Untried,
    /// It waits to be admitted, or is being admitted.
    Loading,
    /// The machine was at fault that it is not live, and it is tried again.
    Later,
    /// Why it may not serve any more; nothing if there is none.
    Over(Option<String>),
}

/// When something is tried again that the machine failed to do: each time later.
#[derive(Default)]
pub(super) struct Backoff {
    tries: u32,
    due: Option<Instant>,
}

/// What changes when a file changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    bytes: u64,
    modified: Option<std::time::SystemTime>,
    inode: (u64, i64, i64),
}

/// The plugins that have their names, and the files that hold what another file has the name of.
pub(super) struct Holders {
    pub(super) plugins: Vec<Arc<Plugin>>,
    /// File, and the one that has its plugin's name.
    displaced: Vec<(String, String)>,
}

impl Known {
    /// A file that was not looked at yet.
    pub(super) fn found() -> Self {
        Self { loading: true, ..Self::default() }
    }

    /// Whether the file must be looked at. Notes the stamp if so.
    pub(super) fn is_due(&mut self, stamp: Option<Stamp>, now: Instant) -> bool {
        let due = self.retry.is_due(now);
        // A link that leads nowhere has no stamp, and is tried again like any other file that the machine failed.
        let known = stamp.is_some() || self.retry.waits();
        if known && self.stamp == stamp && !due {
            return false;
        }
        if self.retry.waits() {
            // The same bytes count as unknown, also if the file was written again before it was due.
            self.hash.clear();
        }
        self.stamp = stamp;
        self.retry.due = None;
        true
    }

    /// Whether it, or its last good version, may still become live.
    pub(super) fn is_on_its_way(&self) -> bool {
        self.loading || matches!(self.restore, Restore::Loading)
    }

    /// Whether the machine failed it or its last good version, so that nobody knows whether that is any good.
    fn waits(&self) -> bool {
        self.untried || matches!(self.restore, Restore::Later)
    }

    /// Whether its last good version should be looked for.
    pub(super) fn wants_restoring(&self, now: Instant) -> bool {
        self.live.is_none()
            && !self.gone
            && match self.restore {
                Restore::Untried => true,
                Restore::Later => self.restoring.is_due(now),
                Restore::Loading | Restore::Over(_) => false,
            }
    }

    /// A file that was refused is looked at again as if nobody had seen it.
    pub(super) fn reconsider(&mut self) {
        if self.refusal.is_some() {
            (self.stamp, self.retry) = (None, Backoff::default());
            self.hash.clear();
        }
        if matches!(self.restore, Restore::Over(Some(_))) {
            self.restore = Restore::Untried;
        }
    }

    /// Notes a failure of the machine's; the same bytes are tried again, each time later.
    pub(super) fn try_again(&mut self, poll: Duration, now: Instant) {
        self.retry.failed(poll, now);
        self.untried = true;
    }

    pub(super) fn refused(&mut self, reason: String) {
        (self.refusal, self.loading, self.untried) = (Some(reason), false, false);
    }

    pub(super) fn admitted(&mut self, plugin: Plugin) {
        *self = Self {
            live: Some(Arc::new(plugin)),
            stamp: self.stamp.take(),
            hash: std::mem::take(&mut self.hash),
            gone: self.gone,
            ..Self::default()
        };
    }

    /// Its last good version serves, whatever becomes of its file.
    pub(super) fn restored(&mut self, plugin: Plugin) {
        self.live = Some(Arc::new(plugin));
        self.restore = Restore::Over(None);
    }

    /// Why its file was refused, and its last good version too if it was.
    fn reason(&self) -> Option<String> {
        let refusal = self.refusal.as_ref()?;
        Some(match &self.restore {
            Restore::Over(Some(why)) => format!("{refusal}; and the last good version is not taken any more: {why}"),
            _ => refusal.clone(),
        })
    }

    /// Its bytes are looked at again, as if nobody had seen them; what serves goes on.
    pub(super) fn look_again(&mut self) {
        (self.stamp, self.retry) = (None, Backoff::default());
        self.hash.clear();
        if self.live.is_none() {
            // Its last good version may be allowed again, or no more.
            (self.restore, self.restoring) = (Restore::default(), Backoff::default());
        }
    }

    fn status(&self, file: &str, holder: Option<&String>) -> PluginStatus {
        let live = self.live.as_ref().filter(|_| holder.is_none());
        let reason = holder.map(|holder| format!("{holder} has the name of this plugin; remove one of the two files"));
        PluginStatus {
            name: live.map_or_else(|| stem(file).to_owned(), |plugin| plugin.name().to_owned()),
            version: live.map(|plugin| plugin.callee.version.to_string()),
            summary: live.and_then(|plugin| plugin.summary.clone()),
            file: file.to_owned(),
            hash: live.map(|plugin| plugin.hash.clone()),
            hooks: live.map(|plugin| plugin.hooks()).unwrap_or_default(),
            state: match (self.is_on_its_way(), live.is_some(), self.refusal.is_some()) {
                (true, ..) => "compiling",
                (_, true, true) => "stale",
                (_, true, false) => "live",
                (_, false, _) => "refused",
            },
            reason: reason.or_else(|| self.reason()),
            tried_again: self.untried,
            config_schema: live.and_then(|plugin| plugin.config_schema.clone()),
            reads: live.and_then(|plugin| plugin.scope.in_force().reads.clone()),
            writes: live.and_then(|plugin| plugin.scope.in_force().writes.clone()),
        }
    }
}

impl Backoff {
    /// Notes another failure.
    pub(super) fn failed(&mut self, poll: Duration, now: Instant) {
        self.due = Some(now + poll * (1 << self.tries.min(DOUBLINGS_MAX)));
        self.tries += 1;
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    fn waits(&self) -> bool {
        self.due.is_some()
    }
}

impl Holders {
    /// Decides who has each name. If two files stand for one name, as `a-b.wasm` and `a_b.wasm` do, the one that is spelled like it has it,
    /// also if it was refused; else the first one. It has it while it is loading too, or else the other would serve at every start.
    /// Files that are gone come last: where all that serve are gone, as after a rename, they serve until their successor is admitted.
    pub(super) fn of(files: &Files) -> Self {
        let mut by_name: BTreeMap<String, Vec<&String>> = BTreeMap::new();
        for (file, known) in files {
            match &known.live {
                Some(plugin) => by_name.entry(plugin.name().to_owned()).or_default().push(file),
                None if known.is_on_its_way() && !known.gone => by_name.entry(own_name(stem(file))).or_default().push(file),
                None => {}
            }
        }
        let mut holders = Self { plugins: Vec::new(), displaced: Vec::new() };
        for (name, mut claims) in by_name {
            let exact = format!("{name}.wasm");
            claims.sort_by_key(|file| (files[*file].gone, **file != exact));
            let refused = files.get_key_value(&exact).filter(|(_, known)| !known.gone && known.live.is_none() && !known.is_on_its_way());
            let last = claims.iter().find(|file| files[**file].live.is_some()).filter(|file| files[**file].gone);
            let holder = match (refused, last) {
                (Some((exact, _)), _) => exact,
                (None, Some(gone)) if files[claims[0]].live.is_none() => gone,
                (None, _) => claims[0],
            };
            holders.plugins.extend(files[holder].live.clone());
            let displaced = claims.into_iter().filter(|file| *file != holder && files[*file].live.is_some());
            holders.displaced.extend(displaced.map(|file| (file.clone(), holder.clone())));
        }
        holders
    }

    /// What each file came to.
    pub(super) fn status(&self, files: &Files) -> Vec<PluginStatus> {
        let holder = |file: &String| self.displaced.iter().find(|(displaced, _)| displaced == file).map(|(_, holder)| holder);
        files.iter().map(|(file, known)| known.status(file, holder(file))).collect()
    }

    /// Says in the log what no longer serves, or serves again, because of another file's name.
    pub(super) fn log(&self, files: &mut Files) {
        for (file, known) in files.iter_mut() {
            let holder = self.displaced.iter().find(|(displaced, _)| displaced == file).map(|(_, holder)| holder);
            if let (Some(holder), false) = (holder, known.displaced) {
                tracing::error!(file, holder, "the plugin of this file does not serve, for another file has its name");
            }
            known.displaced = holder.is_some();
        }
    }
}

/// Plugins whose file is there and which may still become live.
pub(super) fn pending(files: &Files) -> Pending {
    let names = |which: fn(&Known) -> bool| -> HashSet<String> {
        let open = files.iter().filter(|(_, known)| known.live.is_none() && which(known));
        open.flat_map(|(file, _)| [stem(file).to_owned(), own_name(stem(file))]).collect()
    };
    Pending::Some { new: names(|known| known.is_on_its_way() && !known.waits()), failed: names(Known::waits) }
}

/// A file's name without its ending.
pub(super) fn stem(file: &str) -> &str {
    file.strip_suffix(".wasm").unwrap_or(file)
}

pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let data = std::fs::metadata(path).ok()?;
    Some(Stamp { bytes: data.len(), modified: data.modified().ok(), inode: (data.ino(), data.ctime(), data.ctime_nsec()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_the_machine_failed_is_tried_again_each_time_later() {
        let (mut known, poll, now) = (Known::default(), Duration::from_secs(5), Instant::now());
        let stamp = || Some(Stamp { bytes: 1, modified: None, inode: (1, 1, 1) });
        assert!(known.is_due(stamp(), now) && !known.is_due(stamp(), now));
        for pause in [5, 10, 20, 40, 80, 160, 320, 320] {
            known.hash = "tried".into();
            known.try_again(poll, now);
            assert!(!known.is_due(stamp(), now + Duration::from_secs(pause) - Duration::from_nanos(1)), "{pause}");
            assert!(known.is_due(stamp(), now + Duration::from_secs(pause)), "{pause}");
            assert_eq!((known.hash.as_str(), known.untried), ("", true));
        }
        known.hash = "tried".into();
        known.try_again(poll, now);
        let copied_again = Some(Stamp { bytes: 1, modified: None, inode: (2, 1, 1) });
        assert!(known.is_due(copied_again, now) && known.hash.is_empty(), "whoever copies it again once there is room need not wait");
        assert!(known.is_due(stamp(), now));
        known.refused("no".into());
        assert!(!known.is_due(stamp(), now + Duration::from_secs(100_000)), "what is refused for its content is not tried again");
        assert!(known.is_due(None, now), "a file that cannot be looked at is tried");
    }

    #[test]
    fn a_link_that_leads_nowhere_is_tried_again_each_time_later_and_at_once_when_it_leads_somewhere() {
        let (mut known, poll, now) = (Known::found(), Duration::from_secs(5), Instant::now());
        for pause in [5, 10, 20] {
            let begun = now + Duration::from_secs(pause);
            assert!(known.is_due(None, begun), "{pause}");
            known.try_again(poll, begun);
            assert!(!known.is_due(None, begun + Duration::from_secs(pause) - Duration::from_nanos(1)), "{pause}");
        }
        assert!(known.is_due(Some(Stamp { bytes: 1, modified: None, inode: (1, 1, 1) }), now));
    }

    #[test]
    fn a_plugin_is_pending_under_each_name_that_its_file_may_stand_for_until_it_was_tried() {
        let mut files = Files::new();
        files.insert("a_b.wasm".into(), Known::found());
        files.insert("c.wasm".into(), Known { untried: true, ..Known::default() });
        files.insert("d.wasm".into(), Known { refusal: Some("no".into()), ..Known::default() });
        let Pending::Some { new, failed } = pending(&files) else { panic!("the directory was read") };
        assert_eq!(new, ["a-b", "a_b"].map(str::to_owned).into());
        assert_eq!(failed, ["c".to_owned()].into());
    }

    #[test]
    fn a_refused_file_is_on_its_way_while_its_last_good_version_is() {
        let of = |restore| Known { refusal: Some("no".into()), restore, ..Known::default() };
        let mut files = Files::new();
        files.insert("a.wasm".into(), of(Restore::Loading));
        files.insert("b.wasm".into(), of(Restore::Later));
        files.insert("c.wasm".into(), of(Restore::Over(None)));
        files.insert("d.wasm".into(), of(Restore::Over(Some("not allowed".into()))));
        let Pending::Some { new, failed } = pending(&files) else { panic!("the directory was read") };
        assert_eq!((new, failed), (["a".to_owned()].into(), ["b".to_owned()].into()));
        let status = Holders::of(&files).status(&files);
        assert_eq!(status.iter().map(|status| status.state).collect::<Vec<_>>(), ["compiling", "refused", "refused", "refused"]);
        let reasons: Vec<_> = status.iter().map(|status| status.reason.as_deref().unwrap()).collect();
        assert_eq!(reasons, ["no", "no", "no", "no; and the last good version is not taken any more: not allowed"]);
    }

    #[test]
    fn a_last_good_version_that_the_machine_failed_is_tried_again_each_time_later() {
        let (mut known, poll, now) = (Known::found(), Duration::from_secs(5), Instant::now());
        assert!(known.wants_restoring(now));
        for pause in [5, 10, 20] {
            known.restore = Restore::Later;
            known.restoring.failed(poll, now);
            assert!(!known.wants_restoring(now + Duration::from_secs(pause) - Duration::from_nanos(1)), "{pause}");
            assert!(known.wants_restoring(now + Duration::from_secs(pause)), "{pause}");
        }
        known.gone = true;
        assert!(!known.wants_restoring(now + Duration::from_secs(20)), "its file was removed");
        for restore in [Restore::Loading, Restore::Over(None)] {
            assert!(!Known { restore, ..Known::found() }.wants_restoring(now));
        }
    }
}
