//! Asking for a reload of the configuration, and what came of it. Who carries it out is elsewhere: one after the other, each to its end
//! whether or not somebody still waits for it.

use tokio::sync::{mpsc, oneshot};

/// What a reload did. It names keys, and no values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// The path of each key that is different now, and whether it was `added`, `removed` or `changed`.
    pub changed: Vec<(String, &'static str)>,
    /// Keys whose new values are not in force before a restart.
    pub needs_restart: Vec<String>,
    /// What is in force and does not work.
    pub warnings: Vec<String>,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// With the line and the key of each problem.
    #[error("the configuration was not changed, because the new one is wrong: {}", .0.join("; "))]
    Invalid(Vec<String>),
    #[error("the configuration was not changed: {0}")]
    Failed(String),
}

/// Somebody who asked for a reload.
pub type Asked = oneshot::Sender<Result<Reloaded, ReloadError>>;

/// Where reloads are asked for.
#[derive(Clone, Debug)]
pub struct Reloads(mpsc::Sender<Asked>);

impl Reloads {
    /// So many may wait for their turn, and who takes them up.
    pub fn queue(waiting: usize) -> (Self, mpsc::Receiver<Asked>) {
        let (ask, asked) = mpsc::channel(waiting);
        (Self(ask), asked)
    }

    /// Asks for one and waits until it is over; none if too many wait already.
    pub async fn ask(&self) -> Option<Result<Reloaded, ReloadError>> {
        let (asked, over) = oneshot::channel();
        self.0.try_send(asked).ok()?;
        Some(over.await.unwrap_or_else(|_| Err(ReloadError::Failed("the server is about to stop".into()))))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn so_many_wait_and_one_more_is_refused() {
        let (reloads, mut asked) = Reloads::queue(2);
        let mut waiting = [Box::pin(reloads.ask()), Box::pin(reloads.ask())];
        assert!(waiting.iter_mut().all(|wait| wait.now_or_never().is_none()));
        assert_eq!(reloads.ask().await, None);
        asked.recv().await.expect("the first").send(Ok(Reloaded::default())).expect("it waits");
        let [first, second] = waiting;
        assert_eq!(first.await, Some(Ok(Reloaded::default())));
        let mut third = Box::pin(reloads.ask());
        assert!((&mut third).now_or_never().is_none(), "there is room for it now");
        drop(asked);
        assert!(matches!(second.await, Some(Err(ReloadError::Failed(_)))) && matches!(third.await, Some(Err(ReloadError::Failed(_)))));
    }
}
