//! HTML to Markdown: what a reader sees, without scripts, styles, menus and pictures.
//! Invariant: nothing that a page refers to is asked for.

use std::sync::{Arc, Mutex, PoisonError};

use htmd::element_handler::{HandlerResult, Handlers};
use htmd::options::{BulletListMarker, HrStyle, Options};
use htmd::{Element, HtmlToMarkdown};

use super::extracted::Extracted;
use super::reply::{Refused, one_line};
use crate::rag::Kind;

/// What is not the page's text.
const LEFT_OUT: [&str; 17] = [
    "script", "style", "nav", "noscript", "template", "svg", "iframe", "object", "canvas", "audio", "video", "form", "button", "select",
    "dialog", "math", "map",
];

pub(super) fn read(html: &str, text_max: usize) -> Result<Extracted, Refused> {
    let title = Arc::new(Mutex::new(None));
    let found = Arc::clone(&title);
    let options = Options {
        bullet_list_marker: BulletListMarker::Dash,
        hr_style: HrStyle::Dashes,
        ul_bullet_spacing: 1,
        ol_number_spacing: 1,
        ..Options::default()
    };
    let converter = HtmlToMarkdown::builder()
        .options(options)
        .skip_tags(LEFT_OUT.to_vec())
        .add_handler(vec!["title"], move |handlers: &dyn Handlers, element: Element<'_>| {
            let text = handlers.walk_children(element.node).content;
            found.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
            None::<HandlerResult>
        })
        .add_handler(vec!["img"], |_: &dyn Handlers, element: Element<'_>| attribute(&element, "alt").map(HandlerResult::from))
        .add_handler(vec!["a"], link)
        .build();
    let text = converter.convert(html).map_err(Refused::damaged)?;
    if text.len() > text_max {
        return Err(Refused::TextBytes);
    }
    let title = title.lock().unwrap_or_else(PoisonError::into_inner).take().and_then(|title| one_line(&title));
    Ok(Extracted { title, kind: Kind::Markdown, markdown: text, pages: Vec::new() })
}

/// A link keeps its address only if that leads somewhere from outside the page's own site.
fn link(handlers: &dyn Handlers, element: Element<'_>) -> Option<HandlerResult> {
    let leads = attribute(&element, "href").is_some_and(|to| ["http://", "https://", "mailto:"].iter().any(|kind| to.starts_with(kind)));
    if leads { handlers.fallback(element) } else { Some(handlers.walk_children(element.node).content.into()) }
}

fn attribute(element: &Element<'_>, name: &str) -> Option<String> {
    element.attrs.iter().find(|attribute| &*attribute.name.local == name).map(|attribute| attribute.value.to_string())
}
