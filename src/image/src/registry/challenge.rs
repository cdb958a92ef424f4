//! What a registry's `WWW-Authenticate` asks for. Pure.

use crate::bounds::HEADER_BYTES;

/// How a registry wants to be convinced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with every request.
    Basic,
    /// A token from another server.
    Bearer {
        /// Where tokens are given.
        realm: String,
        /// Which service the token is for.
        service: Option<String>,
        /// What the token must allow.
        scope: Option<String>,
    },
}

/// Reads all challenges of a header; one header may hold several. One that is longer than any real one holds none.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    if header.len() > HEADER_BYTES {
        return found;
    }
    let mut scheme: Option<String> = None;
    let mut parameters: Vec<(String, String)> = Vec::new();
    let mut rest = header.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c == ',' || c.is_whitespace()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let after = after.trim_start();
        if let Some(value) = after.strip_prefix('=') {
            let (value, remaining) = value_of(value.trim_start());
            parameters.push((word.to_ascii_lowercase(), value));
            rest = remaining;
        } else {
            if !word.is_empty() {
                finish(scheme.take().as_deref(), &mut parameters, &mut found);
                scheme = Some(word.to_ascii_lowercase());
            }
            rest = after;
        }
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
    }
    finish(scheme.as_deref(), &mut parameters, &mut found);
    found
}

fn finish(scheme: Option<&str>, parameters: &mut Vec<(String, String)>, found: &mut Vec<Challenge>) {
    let parameters = std::mem::take(parameters);
    let get = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    match scheme {
        Some("basic") => found.push(Challenge::Basic),
        Some("bearer") => {
            if let Some(realm) = get("realm") {
                found.push(Challenge::Bearer { realm, service: get("service"), scope: get("scope") });
            }
        }
        _ => {}
    }
}

/// A quoted or bare value, and what stands after it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, quoted.get(at + 1..).unwrap_or("")),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::{Challenge, parse};

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) }
    }

    #[test]
    fn challenges_are_read() {
        assert_eq!(parse("Basic realm=\"x\""), [Challenge::Basic]);
        assert_eq!(
            parse("Bearer realm=\"https://a/t\",service=\"r.io\",scope=\"repository:a/b:pull,push\""),
            [bearer("https://a/t", Some("r.io"), Some("repository:a/b:pull,push"))]
        );
        assert_eq!(
            parse("bearer realm = \"https://a/\\\"t\" , service=x, BASIC realm=y"),
            [bearer("https://a/\"t", Some("x"), None), Challenge::Basic]
        );
        assert_eq!(parse("Negotiate, Bearer error=\"no realm\""), []);
        assert_eq!(parse(""), []);
        assert_eq!(parse("=,=\"a"), []);
        assert_eq!(parse(&"Basic,".repeat(100_000)), []);
    }
}
