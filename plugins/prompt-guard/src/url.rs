//! Whether the URL of an image tells its host more than which image is wanted.

/// What the URL of a picture rarely has, and what a secret or a sentence does.
const LONGEST_VALUE: usize = 24;
const LONGEST_QUERY: usize = 96;
const LONGEST_SEGMENT: usize = 64;
const LONGEST_LABEL: usize = 30;
const MOST_WORDS: usize = 3;
const LONGEST_ENTITY: usize = 12;

/// Whether it goes to a host that is not in `hosts` (nor below one of them) with data in its query, path, host or user.
pub(crate) fn carries_data(url: &str, hosts: &[String]) -> bool {
    let url = unescaped(url);
    let Some(rest) = remote(&url) else { return false };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let host = host.split(':').next().unwrap_or_default().trim_end_matches('.').to_lowercase();
    if hosts.iter().any(|allowed| host == *allowed || host.strip_suffix(allowed.as_str()).is_some_and(|sub| sub.ends_with('.'))) {
        return false;
    }
    // What is behind `#` stays with the client.
    let rest = rest.split('#').next().unwrap_or_default();
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let speaks = |text: &str| words(text) > MOST_WORDS;
    user.is_some()
        || host.split('.').any(|label| label.len() > LONGEST_LABEL)
        || query.len() > LONGEST_QUERY
        || query.split(['&', ';']).any(|pair| {
            let value = pair.split_once('=').map_or(pair, |(_, value)| value);
            value.len() > LONGEST_VALUE || speaks(value) || value.contains('@') || value.to_lowercase().contains("%40")
        })
        || path.split('/').any(|segment| is_encoded(segment) || (segment.contains("%20") || segment.contains('+')) && speaks(segment))
}

/// The host, for the log, which shall not keep what the URL carries.
pub(crate) fn host(url: &str) -> Option<String> {
    let url = unescaped(url);
    let authority = remote(&url)?.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    (host.len() <= 100).then(|| host.to_owned())
}

/// What follows the scheme of a URL that is fetched from another host.
fn remote(url: &str) -> Option<&str> {
    if let Some(rest) = url.strip_prefix("//") {
        return Some(rest);
    }
    let (scheme, rest) = url.split_once(':')?;
    let fetched = ["http", "https", "ftp"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    // Browsers take any number of slashes there.
    fetched.then(|| rest.trim_start_matches('/'))
}

/// Words in a part of a URL, between the characters that stand for spaces.
fn words(text: &str) -> usize {
    text.replace("%20", "+").replace("%0A", "+").replace("%0a", "+").split('+').filter(|word| !word.is_empty()).count()
}

/// A long part of a path that is no name with an ending or with words.
fn is_encoded(segment: &str) -> bool {
    let name = segment.rsplit_once('.').map_or(segment, |(name, _)| name);
    name.len() > LONGEST_SEGMENT && name.split(['-', '_', '.', '~', ',']).any(|word| word.len() > LONGEST_SEGMENT / 2)
}

/// The URL as a browser reads it: entities are characters, white space in it is nothing, backslashes are slashes.
fn unescaped(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    let mut rest = url.trim().trim_start_matches('<');
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match entity(rest) {
            Some((c, length)) => {
                out.push(c);
                rest = &rest[length..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out.retain(|c| !c.is_whitespace() && !c.is_control());
    out.replace('\\', "/")
}

/// The character that an entity at the beginning of the text stands for, and the length of the entity.
pub(crate) fn entity(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(LONGEST_ENTITY).position(|byte| byte == b';')?;
    let name = &text[1..end];
    let c = match name {
        "amp" => '&',
        "colon" => ':',
        "sol" => '/',
        "period" => '.',
        "quest" => '?',
        "equals" => '=',
        "commat" => '@',
        "Tab" | "NewLine" => ' ',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    };
    Some((c, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_in_any_part_is_seen() {
        for url in [
            "https://evil.example/p.png?d=c2VjcmV0IHBhc3N3b3JkIGlzIGh1bnRlcjI",
            "https://evil.example/?q=the+user+is+called+jane",
            "https://evil.example/?q=the%20user%20is%20called",
            "https://evil.example/?u=jane@example.org",
            "//evil.example/p?d=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "HTTPS:/evil.example?d=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "https:\\\\evil.example\\p?d=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "&#104;ttps&colon;//evil.example/p&quest;d&#61;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "ht\ntps://evil.example/p?d=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "https://c2VjcmV0IHBhc3N3b3JkIGlzIGh1bnRlcjI.evil.example/p.png",
            "https://secret@evil.example/p.png",
            "https://evil.example/c2VjcmV0IHBhc3N3b3JkIGlzIGh1bnRlcjIc2VjcmV0IHBhc3N3b3JkIGlzIGh1bnRlcjI/p.png",
            "https://evil.example/the%20user%20is%20called%20jane.png",
            "https://good.example.evil.example/?d=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "https://notgood.example/?d=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(carries_data(url, &["good.example".to_owned()]), "{url}");
        }
    }

    #[test]
    fn pictures_are_left() {
        for url in [
            "https://upload.wikimedia.org/wikipedia/commons/thumb/a/a9/The_Great_Wave_off_Kanagawa_by_Hokusai_restored_version_2019.jpg/640px-The_Great_Wave.jpg",
            "https://images.unsplash.com/photo-1519681393784-d120267933ba?auto=format&fit=crop&w=1350&q=80",
            "https://img.shields.io/badge/build-passing-brightgreen?style=flat-square",
            "https://raw.githubusercontent.com/rust-lang/rust/0123456789abcdef0123456789abcdef01234567/logo.svg",
            "https://example.org/a.png#c2VjcmV0IHBhc3N3b3JkIGlzIGh1bnRlcjI",
            "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
            "images/a.png?d=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "https://good.example/?d=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "https://cdn.Good.example:443/?d=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "",
        ] {
            assert!(!carries_data(url, &["good.example".to_owned()]), "{url}");
        }
    }
}
