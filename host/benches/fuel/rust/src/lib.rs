//! Two regular expressions and a count of words over every message, for the figures of fuel.

use cofferdam_guest::{HookError, Message, Plugin, PreOutcome, Request};
struct Fuel;
impl Plugin for Fuel {
    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let email = regex::Regex::new(r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+\.[A-Za-z]+").unwrap();
        let card = regex::Regex::new(r"[0-9]{4}[ -][0-9]{4}[ -][0-9]{4}[ -][0-9]{4}").unwrap();
        let (mut emails, mut cards, mut words) = (0, 0, 0);
        for message in &request.messages {
            let text = message.text().to_lowercase();
            emails += email.find_iter(&text).count();
            cards += card.find_iter(&text).count();
            words += text.split(' ').count();
        }
        Ok(Message::assistant(format!("{emails} {cards} {words}")).into())
    }
}
cofferdam_guest::export!(Fuel: pre_hook);
