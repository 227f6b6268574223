//! One plugin's way to other servers: its guard, and its requests at once. Both interfaces that reach servers share it.

use super::outside::Outside;
use crate::fair::Shares;
use crate::outbound::{Calls, Error, Guard, Request, Response, Rules};
use crate::sandbox::bindings::log::Level;
use crate::sandbox::env::CallEnv;
use crate::sandbox::grant::Granted;

/// Of a plugin that was granted it.
pub(in crate::sandbox) struct Way {
    guard: Guard,
    /// Its requests at once, which clients share.
    pub(super) places: Shares,
}

impl Way {
    pub(in crate::sandbox) fn new(rules: &Granted<Rules>, outside: &Outside) -> Self {
        Self { places: Shares::new(rules.connections), guard: outside.guard((**rules).clone()) }
    }

    pub(super) fn rules(&self) -> &Rules {
        self.guard.rules()
    }

    /// Sends a request for the call's exchange, once it has that place.
    pub(super) async fn send<P>(
        &self,
        env: &CallEnv,
        calls: &Calls,
        place: impl Future<Output = P>,
        request: Request,
    ) -> Result<Response, Error> {
        let sent = self.guard.send(calls, place, request).await;
        if let Err(Error::Denied(why)) = &sent {
            // The operator decides about it, and reads this; what the plugin makes of it is not known.
            env.log.write(Level::Warn, &format!("a request was not sent: {why}"));
        }
        sent
    }
}
