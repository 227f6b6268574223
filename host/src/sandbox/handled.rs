//! A plugin's hooks in the style of the web, called as its others are. The exchange goes along and comes back; after a fault it is as it was.

use wasmtime::Store;

use super::handler::answered::{Looked, settle_post, settle_pre};
use super::handler::asked::Asked;
use super::plugin::Plugin;
use super::shapes::Request;
use super::store::State;
use super::{Fault, Hook, PostOutcome, PreOutcome};
use crate::chat::{Completion, Exchange};

impl Plugin {
    pub(super) async fn pre_handler(&self, mut exchange: Exchange) -> (Exchange, Result<PreOutcome, Fault>) {
        let call = self.callee.call(Hook::Pre, &exchange);
        let guest = match call.guest().await {
            Ok(guest) => guest,
            Err(fault) => return (exchange, Err(fault)),
        };
        let exports = self.exports.clone();
        let bytes = Request::bytes(&exchange, &self.scope.reads);
        let work = Box::pin(async move {
            let asked = Asked::of(Hook::Pre, &exchange.id, exchange.messages.iter(), &exchange.metadata);
            let ran = guest.run(async |store: &mut Store<State>| exports.ask(store, &asked).await).await;
            let checked = ran.check(|answer, log| settle_pre(answer?, &asked, &mut exchange, log));
            (exchange, checked)
        });
        call.settle(bytes, work).await
    }

    /// Asks about one choice after the other, because a hook of this kind looks at the last message only.
    pub(super) async fn post_handler(
        &self,
        mut exchange: Exchange,
        mut completion: Completion,
    ) -> ((Exchange, Completion), Result<PostOutcome, Fault>) {
        let before = exchange.metadata.clone();
        let mut replaced = Vec::new();
        for at in 0..completion.choices.len() {
            let looked;
            ((exchange, completion), looked) = self.look_at(exchange, completion, at).await;
            match looked {
                Ok(Looked::Kept(None)) => {}
                Ok(Looked::Kept(Some(message))) => replaced.push((at, message)),
                Ok(Looked::Reject(rejection)) => return ((exchange, completion), Ok(PostOutcome::Reject(rejection))),
                Err(fault) => {
                    exchange.metadata = before;
                    return ((exchange, completion), Err(fault));
                }
            }
        }
        let outcome = if replaced.is_empty() { PostOutcome::Keep } else { PostOutcome::Replaced };
        for (at, message) in replaced {
            completion.choices[at].replace(*message);
        }
        ((exchange, completion), Ok(outcome))
    }

    async fn look_at(&self, mut exchange: Exchange, completion: Completion, at: usize) -> ((Exchange, Completion), Result<Looked, Fault>) {
        let call = self.callee.call(Hook::Post, &exchange);
        let guest = match call.guest().await {
            Ok(guest) => guest,
            Err(fault) => return ((exchange, completion), Err(fault)),
        };
        let exports = self.exports.clone();
        let bytes = Request::bytes(&exchange, &self.scope.reads);
        let work = Box::pin(async move {
            let reply = &completion.choices[at].message;
            let messages = exchange.messages.iter().chain([reply]);
            let asked = Asked::of(Hook::Post, &exchange.id, messages, &exchange.metadata);
            let ran = guest.run(async |store: &mut Store<State>| exports.ask(store, &asked).await).await;
            let checked = ran.check(|answer, log| settle_post(answer?, &asked, reply, &mut exchange.metadata, log));
            ((exchange, completion), checked)
        });
        call.settle(bytes, work).await
    }
}
