//! The title of a Markdown text: its first heading of the first level.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag};

use super::reply::one_line;

/// Bytes in which a title is looked for.
const LOOKED_AT: usize = 16 << 10;

pub(super) fn title(text: &str) -> Option<String> {
    let text = &text[..text.floor_char_boundary(LOOKED_AT)];
    let mut events = Parser::new_ext(text, Options::ENABLE_YAML_STYLE_METADATA_BLOCKS);
    events.find(|event| matches!(event, Event::Start(Tag::Heading { level: HeadingLevel::H1, .. })))?;
    let mut title = String::new();
    for event in events {
        match event {
            Event::Text(words) | Event::Code(words) => title.push_str(&words),
            Event::SoftBreak | Event::HardBreak => title.push(' '),
            Event::End(pulldown_cmark::TagEnd::Heading(_)) => break,
            _ => {}
        }
    }
    one_line(&title)
}

#[cfg(test)]
mod tests {
    use super::title;

    #[test]
    fn the_first_heading_of_the_first_level_is_the_title() {
        let found = |text| title(text).unwrap_or_default();
        assert_eq!(found("text\n\n## Part\n\n# The *pump* `A-1`\n\n# Other\n"), "The pump A-1");
        assert_eq!(found("Pumps\n=====\n"), "Pumps");
        assert_eq!((found("```\n# a comment\n```\n"), found("#\n"), found("text")), (String::new(), String::new(), String::new()));
    }
}
