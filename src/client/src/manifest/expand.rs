//! `$(NAME)` in commands, arguments and values of variables, as Kubernetes replaces it.

/// Replaces every `$(NAME)` that is known and every `$$`; what is not known stays as it is.
pub(super) fn expand(text: &str, variables: &[(String, String)]) -> String {
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
                None => out.push_str(&rest[..name.len() + 3]),
            }
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
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
    }
}
