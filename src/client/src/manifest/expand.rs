//! `$(NAME)` in commands, arguments, values of variables and paths, as Kubernetes replaces it.

/// Replaces every `$(NAME)` that is known and every `$$`; what is not known stays as it is.
pub(crate) fn expand(text: &str, variables: &[(String, String)]) -> String {
    expand_all(text, variables).0
}

/// The same, with the first name that is not known.
pub(crate) fn expand_all<'a>(text: &'a str, variables: &[(String, String)]) -> (String, Option<&'a str>) {
    let mut unknown = None;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix("$(").and_then(|name| name.split_once(')')) {
            // Of equal names the last one counts.
            match variables.iter().rfind(|(known, _)| known == name) {
                Some((_, value)) => out.push_str(value),
                None => {
                    unknown = unknown.or(Some(name));
                    out.push_str(&rest[..name.len() + 3]);
                }
            }
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    (out, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_what_is_known_and_nothing_else() {
        let variables = [("A".into(), "1".into()), ("B".into(), "$(A)".into()), ("A".into(), "2".into())];
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "2"),
            ("-$(A)-$(A)-", "-2-2-"),
            ("$(B)", "$(A)"),
            ("$(C)", "$(C)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$2"),
            ("$A ${A} $", "$A ${A} $"),
            ("$(A", "$(A"),
            ("é$(A)é", "é2é"),
            ("$()", "$()"),
        ] {
            assert_eq!(expand(text, &variables), expected, "{text}");
        }
        assert_eq!(expand_all("$(A) $(C) $(D)", &variables).1, Some("C"));
    }
}
